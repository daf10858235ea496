"""Where the object begins in a saliency map: the rules of the field."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from advcam.saliency.settings import Rule

# Otsu's histogram: the levels that an 8-bit map has.
BINS = 256


def salient(
    saliency: Float[np.ndarray, "H W"], rule: Rule = "fixed", threshold: float = 0.5
) -> Bool[np.ndarray, "H W"]:
    """The pixels that a map calls object; the others are region D of section 4.4.

    Args:
        saliency: the map, in [0, 1].
        rule: "fixed", "otsu" or "adaptive"; see ``SaliencySettings.rule``.

    Returns:
        True at and above the cut, where the map is not zero. A map of one single value has no two groups, so Otsu's
        rule finds no object in it; a map of zeros has none by any rule.

    >>> import numpy as np
    >>> saliency = np.array([[0.0, 0.1, 0.2, 0.9, 0.8]])
    >>> [salient(saliency, rule).tolist()[0] for rule in ("fixed", "otsu")]
    [[False, False, False, True, True], [False, False, False, True, True]]
    >>> salient(saliency, "fixed", 0.15).tolist()[0]
    [False, False, True, True, True]
    >>> salient(saliency, "adaptive").tolist()[0]
    [False, False, False, True, True]
    """
    cut = threshold if rule == "fixed" else otsu(saliency) if rule == "otsu" else min(1.0, 2 * float(saliency.mean()))
    return (saliency >= cut) & (saliency > 0)


def otsu(saliency: Float[np.ndarray, "H W"]) -> float:
    """Otsu's cut between two groups of values, see ``best_cut``; infinite where there is one group."""
    levels = np.rint(saliency * (BINS - 1)).astype(np.int64)
    between = between_variance(np.bincount(levels.ravel(), minlength=BINS))
    return (best_cut(between) - 0.5) / (BINS - 1) if between.any() else float("inf")


def between_variance(counts: Int64[np.ndarray, " b"]) -> Float64[np.ndarray, " b-1"]:
    """Otsu's criterion ``w0 w1 (m1 - m0)^2`` for every cut of a histogram over [0, 1]: entry i parts bins 0..i from the
    rest. w are the groups' shares, m their means; 0 where a group is empty."""
    share, total = counts / counts.sum(), counts.sum()
    centres = (np.arange(len(counts)) + 0.5) / len(counts)
    weight, moment = share.cumsum()[:-1], (share * centres).cumsum()[:-1]
    spread = weight * (1 - weight)
    # Sums of shares are exact to rounding only; the smallest real group is one pixel.
    apart = spread > 0.25 / total
    return np.where(apart, ((share @ centres) * weight - moment) ** 2 / np.where(apart, spread, 1.0), 0.0)


def best_cut(between: Float64[np.ndarray, " cuts"]) -> int:
    """The bin that the upper group begins with, by the highest criterion.

    Where an empty stretch separates the groups, every cut inside it is equally good: the middle one.

    >>> best_cut(between_variance(np.array([4, 0, 0, 0, 4])))
    3
    """
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    return int(best[len(best) // 2]) + 1
