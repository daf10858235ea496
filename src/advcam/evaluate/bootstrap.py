"""What a choice by a few true masks is worth: the bootstrap over images (Efron and Tibshirani, 1993, chapter 17).

The best of several settings on a few images looks better than it is, because it was chosen there. How much better, and
how sure the figure is, follows from drawing the images again and again with replacement and choosing anew each time.

Shape suffixes: n images, c candidates, K labels, D draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from advcam.errors import DataError

_DRAWS_AT_ONCE = 64


@dataclass(frozen=True)
class Choice:
    """The candidate with the highest mIoU on the given images, and what can be expected of it on others."""

    best: int
    """Its number; the first of equal ones."""
    miou: float
    """On the images that chose it: too high."""
    optimism: float
    """By how much: what it gains here over the mean candidate, less what the winner of a draw gains over it, on
    average, on the images that the draw left out."""
    interval: tuple[float, float]
    """Of its mIoU less the optimism, at the level asked for, by percentiles of the draws."""
    wins: Float64[np.ndarray, " c"]
    """Share of the draws that each candidate wins."""
    image_count: int

    @property
    def expected(self) -> float:
        """mIoU less the optimism."""
        return self.miou - self.optimism

    def to_json(self) -> dict[str, Any]:
        """For ``metrics.json``."""
        return {
            "images": self.image_count,
            "miou": self.miou,
            "optimism": self.optimism,
            "expected": self.expected,
            "interval": list(self.interval),
            "wins": self.wins.tolist(),
        }


def choose(confusions: Int64[np.ndarray, "n c K K"], draws: int = 1000, level: float = 0.95, seed: int = 0) -> Choice:
    """The best candidate by mIoU over all images, with its optimism and interval.

    Args:
        confusions: of each image and candidate, row = ground truth, column = prediction.
        draws: of n images each.
        level: of the interval, in (0, 1).

    >>> one = np.array([[[[6, 2], [1, 7]]], [[[5, 1], [3, 7]]]])
    >>> choice = choose(one, draws=200)
    >>> round(choice.miou, 4), choice.optimism == 0, [round(side, 2) for side in choice.interval]
    (0.6389, True, [0.6, 0.68])
    """
    if len(confusions) < 2:
        raise DataError("one image tells nothing about others: give true masks for at least two")
    count = len(confusions)
    on_all_c = miou(confusions.sum(axis=0))
    best = int(np.nanargmax(on_all_c))
    generator = np.random.default_rng(seed)
    weights_Dn = generator.multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)
    drawn_Dc = miou_of_draws(weights_Dn, confusions)
    winner_D = np.nanargmax(drawn_Dc, axis=1)
    # A few draws may leave no image out.
    others_Dn = (weights_Dn == 0).astype(np.float64)
    left_Dc = miou_of_draws(others_Dn, confusions)[others_Dn.any(axis=1)]
    gain_D = left_Dc[np.arange(len(left_Dc)), winner_D[others_Dn.any(axis=1)]] - left_Dc.mean(axis=1)
    optimism = float(on_all_c[best] - on_all_c.mean() - gain_D.mean())
    tails = 100 * (1 - level) / 2
    low, high = np.percentile(drawn_Dc[:, best] - optimism, [tails, 100 - tails])
    wins = np.bincount(winner_D, minlength=len(on_all_c)) / draws
    return Choice(best, float(on_all_c[best]), optimism, (float(low), float(high)), wins, count)


def miou_of_draws(weights_Dn: np.ndarray, confusions: np.ndarray) -> Float64[np.ndarray, "D c"]:
    """mIoU of all candidates over images counted so many times; a block of draws at once, for the memory."""
    flat = confusions.reshape(len(confusions), -1).astype(np.float64)
    blocks = np.split(weights_Dn, range(_DRAWS_AT_ONCE, len(weights_Dn), _DRAWS_AT_ONCE))
    return np.concatenate([miou((block @ flat).reshape(len(block), *confusions.shape[1:])) for block in blocks])


def miou(confusions: Shaped[np.ndarray, "*c K K"]) -> Float64[np.ndarray, "*c"]:
    """Mean IoU over the labels that occur, in the ground truth or the prediction.

    >>> miou(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])).round(4)
    np.float64(0.775)
    """
    right = np.diagonal(confusions, axis1=-2, axis2=-1).astype(np.float64)
    union = confusions.sum(axis=-1) + confusions.sum(axis=-2) - right
    return np.asarray((right / np.where(union > 0, union, 1)).sum(axis=-1) / np.maximum((union > 0).sum(axis=-1), 1))
