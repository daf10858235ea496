"""How much a mask is to be doubted, from what a run has without ground truth: numbers in [0, 1] for each reason.

Shape suffixes: n pairs of an image and a class, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

# How much each counts in all together; chosen on generated scenes, measured on others (docs/annotation.md).
WEIGHTS = {"small": 2.0, "refined": 2.0, "stray": 2.0}
# Steps of the background threshold at which a mask is tried, up and down.
THRESHOLD_STEP = 0.05
# A class needs so many masks before a size is unusual, and a size this many times the usual spread off counts whole.
MIN_MASKS, WHOLE_SPREADS = 5, 4.0


def overlap(first: Bool[np.ndarray, "H W"], second: Bool[np.ndarray, "H W"]) -> float:
    """Intersection over union; 1 where both are empty.

    >>> overlap(np.array([[True, True]]), np.array([[True, False]]))
    0.5
    """
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0


def disagreement(first: UInt8[np.ndarray, "H W"], second: UInt8[np.ndarray, "H W"], class_index: int) -> float:
    """1 less the overlap of one class in two indexed masks; pixels that either sets aside do not count."""
    counted = (first != 255) & (second != 255)
    return 1 - overlap((first == class_index + 1) & counted, (second == class_index + 1) & counted)


def stray(map_: Float[np.ndarray, "h w"], inside: Bool[np.ndarray, "h w"]) -> float:
    """The share of a map's sum that lies outside the mask of its class; 1 where the map is empty.

    >>> stray(np.array([[0.75, 0.25]]), np.array([[True, False]]))
    0.25
    """
    total = float(map_.sum())
    return 1 - float(map_[inside].sum()) / total if total > 0 else 1.0


def odd_sizes(shares: Float[np.ndarray, " n"], classes: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """How unusual the size of each mask is among those of its class.

    The distance of the logarithm of the share from the class's median, in units of the median distance
    (1.4826 of it, the standard deviation of a normal law), a quarter of it, at most 1. An empty mask is 1. Of a class
    with fewer than five masks nothing is unusual.

    >>> odd_sizes(np.array([0.1, 0.1, 0.11, 0.09, 0.1, 0.8]), np.zeros(6, int)).round(1).tolist()
    [0.0, 0.0, 0.3, 0.4, 0.0, 1.0]
    """
    found = np.zeros(len(shares))
    for index in np.unique(classes):
        own = classes == index
        there = own & (shares > 0)
        if there.sum() >= MIN_MASKS:
            logs = np.log(shares[there])
            middle = np.median(logs)
            spread = max(1.4826 * float(np.median(np.abs(logs - middle))), 0.05)
            found[there] = np.minimum(np.abs(logs - middle) / spread / WHOLE_SPREADS, 1)
    found[shares == 0] = 1
    return found


def together(reasons: Mapping[str, Float[np.ndarray, " n"]]) -> Float[np.ndarray, " n"]:
    """All reasons as one doubt: the mean of the pairs' ranks in each, weighted, 0 the least and 1 the most doubtful.

    Ranks, since the reasons have different laws; a reason that is the same everywhere says nothing and is left out.

    >>> together({"unsure": np.array([0.1, 0.9, 0.5]), "area": np.zeros(3)}).tolist()
    [0.0, 1.0, 0.5]
    """
    found = {name: ranks(values) for name, values in reasons.items() if len(values) and np.ptp(values) > 0}
    weights = [WEIGHTS.get(name, 1.0) for name in found]
    if not any(weights):
        return np.zeros(len(next(iter(reasons.values()), np.zeros(0))))
    return np.average(list(found.values()), axis=0, weights=weights)


def ranks(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Ranks from 0 to 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    first = np.cumsum(counts) - counts
    return (first + (counts - 1) / 2)[inverse] / max(len(values) - 1, 1)


def telling(reasons: Mapping[str, float], most: int = 2) -> list[str]:
    """The reasons that weigh most for one pair, the heaviest first; those up to one half are not named.

    >>> telling({"unsure": 0.9, "disagree": 0.2, "area": 0.7})
    ['unsure', 'area']
    """
    strong: Sequence[str] = sorted((key for key in reasons if reasons[key] > 0.5), key=lambda key: -reasons[key])
    return list(strong[:most])
