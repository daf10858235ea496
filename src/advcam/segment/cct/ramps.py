"""How CCT's weights and thresholds grow over a training.

Source: Ouali, Hudelot and Tami, "Semi-supervised semantic segmentation with cross-consistency training" (CVPR 2020),
section 3.3, and its program.
"""

from __future__ import annotations

import math
from typing import Literal

Shape = Literal["sigmoid", "linear", "cosine", "log", "exp"]


def ramp(shape: Shape, current: float, length: float) -> float:
    """From almost 0 to almost 1 while ``current`` goes from 0 to ``length``; level before and after.

    With ``u`` the fraction of the way: "sigmoid" is ``exp(-5 (1 - u)^2)`` (which starts at 0.0067), "linear" ``u``,
    "cosine" ``1 - (cos(pi u) + 1) / 2``, "log" ``1 - exp(-5 u)`` (which ends at 0.9933), "exp" ``exp(5 (u - 1))``.
    Without a length the ramp is over at once: 1.

    >>> [round(ramp("sigmoid", t, 100), 4) for t in (-5, 0, 50, 100, 200)]
    [0.0067, 0.0067, 0.2865, 1.0, 1.0]
    """
    if length <= 0:
        return 1.0
    way = min(max(current, 0.0), length) / length
    if shape == "sigmoid":
        return math.exp(-5.0 * (1.0 - way) ** 2)
    if shape == "linear":
        return way
    if shape == "cosine":
        return 1.0 - 0.5 * (math.cos(math.pi * way) + 1.0)
    if shape == "log":
        return 1.0 - math.exp(-5.0 * way)
    return math.exp(5.0 * (way - 1.0))


def ramp_updates(fraction: float, total: int, epochs: int | None) -> int:
    """Length in updates of a ramp over ``fraction`` of a training of ``total`` updates.

    A training that is measured in epochs ramps over whole ones, as the program does: 8 of 80.

    >>> ramp_updates(0.1, 80 * 912, 80) == 8 * 912, ramp_updates(0.1, 25 * 10, 25), ramp_updates(0.1, 250, None)
    (True, 20, 25)
    """
    if epochs is None:
        return int(fraction * total)
    return int(fraction * epochs) * (total // epochs)


def bootstrap_threshold(update: int, length: int, num_labels: int, shape: Shape = "log", final: float = 0.9) -> float:
    """The probability above which annealed bootstrapped cross-entropy holds a pixel for learnt (section 3.3).

    ``1 / K + (final - 1 / K) ramp(t)``: at first only pixels that are worse than a guess are learnt from, at last
    all but the sure ones.

    Args:
        update: t, the updates made before.
        length: of the ramp in updates; 0.4 of the training in the paper.
        shape: of the ramp; "log" in the paper.

    >>> round(bootstrap_threshold(0, 100, 21), 4), round(bootstrap_threshold(100, 100, 21), 4)
    (0.0476, 0.8943)
    """
    least = 1.0 / num_labels
    return least + (final - least) * ramp(shape, update, length)
