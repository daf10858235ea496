"""Where the score of localization maps lies (Fig. 15), and the images whose boxes go most wrong (Fig. 13).

Shape suffixes: R ranks, H, W the map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from PIL import Image
from torch import Tensor

from advcam.errors import DataError
from advcam.evaluate.boxes_iou import Boxes, ImageSize, boxes_on_map, inclusive_iou
from advcam.evaluate.settings import ScoreMapSettings
from advcam.localize.levels import boxes_at_levels, grey_level
from advcam.localize.normalize import protocol_map

RANKS = 200


@dataclass(frozen=True)
class ScoreDistribution:
    """The scores of all pixels of maps in falling order (Fig. 15), the mean over the images.

    ``score`` in [0, 1] at each ``rank``, a share of the pixels. ``inside``, ``outside``: mean score in the true boxes
    (or objects) and elsewhere, over the images that have some; NaN where none has.
    """

    rank: Float64[Tensor, " r"]
    score: Float64[Tensor, " r"]
    inside: float
    outside: float
    images: int

    @property
    def area(self) -> float:
        """The mean score of all pixels."""
        return float(torch.trapezoid(self.score, self.rank))

    @property
    def gap(self) -> float:
        """How much higher the score is inside the true boxes than outside: what climbing is said to widen."""
        return self.inside - self.outside

    def at(self, share: float) -> float:
        """The score that so large a share of the pixels reaches."""
        return float(self.score[int((self.rank - share).abs().argmin())])


class ScoreDistributions:
    """:class:`ScoreDistribution` over images that come one at a time.

    >>> import torch
    >>> distributions = ScoreDistributions(ScoreMapSettings(size=8))
    >>> distributions.update(torch.eye(8), [(0, 0, 4, 4)], (8, 8))
    >>> found = distributions.compute()
    >>> found.at(0.0), found.at(1.0), round(found.inside, 2), found.images
    (1.0, 0.0, 0.2, 1)
    """

    def __init__(self, settings: ScoreMapSettings | None = None) -> None:
        self.settings = settings or ScoreMapSettings()
        self._sum_R = np.zeros(RANKS + 1)
        self._inside: list[float] = []
        self._outside: list[float] = []
        self._images = 0

    def update(
        self,
        score_map: Float[Tensor, "h w"],
        boxes: Boxes = (),
        image_size: ImageSize = (1, 1),
        *,
        inside: Bool[np.ndarray, "H W"] | None = None,
        name: str = "the image",
    ) -> None:
        """Add one image; boxes in pixels of the image, size as (height, width), or the object itself as ``inside``.

        Raises:
            DataError: the map is empty or infinite; a box is outside the image.
        """
        size = self.settings.size
        scores_HW = protocol_map(score_map, size, size, self.settings.normalization, name).numpy()
        falling = np.sort(scores_HW.ravel())[::-1]
        self._sum_R += falling[np.linspace(0, len(falling) - 1, RANKS + 1).round().astype(int)]
        self._images += 1
        if inside is None and not len(boxes):
            return
        if inside is not None:
            inside_HW = np.array(Image.fromarray(inside).resize((size, size), Image.Resampling.NEAREST))
        else:
            inside_HW = np.zeros((size, size), dtype=bool)
            for x0, y0, x1, y1 in boxes_on_map(boxes, image_size, size, name):
                inside_HW[y0 : y1 + 1, x0 : x1 + 1] = True
        for found, part_HW in ((self._inside, inside_HW), (self._outside, ~inside_HW)):
            if part_HW.any():
                found.append(float(scores_HW[part_HW].mean()))

    def compute(self) -> ScoreDistribution:
        """The means so far.

        Raises:
            DataError: there was no image.
        """
        if not self._images:
            raise DataError("a distribution of scores needs at least one image")
        rank_R = torch.linspace(0, 1, RANKS + 1, dtype=torch.float64)
        inside, outside = (float(np.mean(part)) if part else math.nan for part in (self._inside, self._outside))
        return ScoreDistribution(rank_R, torch.from_numpy(self._sum_R / self._images), inside, outside, self._images)


@dataclass(frozen=True)
class FoundBox:
    """The box that fits the truth best at one threshold: corners as parts of the image's sides, and its overlap."""

    box: tuple[float, float, float, float]
    iou: float


def best_box(
    score_map: Float[Tensor, "h w"],
    boxes: Boxes,
    image_size: ImageSize,
    threshold: float,
    settings: ScoreMapSettings | None = None,
    *,
    name: str = "the image",
) -> FoundBox:
    """Of all boxes of a map at one CAM threshold the one with the highest intersection over union with any true box.

    >>> import torch
    >>> score_map = torch.zeros(224, 224)
    >>> score_map[50:100, 60:160] = 1.0
    >>> found = best_box(score_map, [(60, 50, 160, 100)], (224, 224), 0.5)
    >>> round(found.iou, 3), [round(224 * side) for side in found.box]
    (1.0, [60, 50, 160, 100])
    """
    settings = settings or ScoreMapSettings()
    truth = boxes_on_map(boxes, image_size, settings.size, name)
    scores_HW = protocol_map(score_map, settings.size, settings.size, settings.normalization, name)
    (found,) = boxes_at_levels(scores_HW, [grey_level(scores_HW, threshold)])
    overlaps = inclusive_iou(found.numpy(), truth).max(axis=1)
    best = int(overlaps.argmax())
    x0, y0, x1, y1 = (float(side) / settings.size for side in found[best])
    return FoundBox((x0, y0, x1, y1), float(overlaps[best]))


def worst_first(overlaps: Sequence[float], count: int) -> list[int]:
    """The images with the lowest overlaps: the failures of Fig. 13.

    >>> worst_first([0.7, 0.1, 0.4], 2)
    [1, 2]
    """
    return sorted(range(len(overlaps)), key=lambda index: overlaps[index])[:count]
