"""Box accuracy as a training measures it: sums that processes can add, and the figures from them.

Shape suffixes: D levels of intersection over union, T thresholds.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from advcam.data.record import ImageSet, Record
from advcam.evaluate.boxes import BoxAccuracy
from advcam.evaluate.settings import BoxAccSettings


class BoxValidation:
    """MaxBoxAccV2 and Top-1 Loc of the images of a validation; see ``advcam.evaluate.BoxAccuracy``.

    >>> from pathlib import Path
    >>> from advcam.data.record import Box
    >>> validation = BoxValidation()
    >>> validation.add(Record("a", Path("a.jpg"), (0,), boxes=(Box(0, 0, 0, 99, 99),)), torch.eye(14), (100, 100), True)
    >>> validation.scores(validation.sums(), images=1)["boxes"]
    100.0
    """

    def __init__(self, settings: BoxAccSettings | None = None) -> None:
        self.settings = settings or BoxAccSettings()
        self._accuracy = BoxAccuracy(self.settings)

    def fresh(self) -> BoxValidation:
        return BoxValidation(self.settings)

    def add(self, record: Record, score_map: Float[Tensor, "h w"], size: tuple[int, int], classified: bool) -> None:
        """Count one image, of (height, width) pixels."""
        self._accuracy.update(score_map, true_corners(record), size, classified, name=str(record.image))

    def sums(self) -> Float[Tensor, " s"]:
        """Images right at each level and threshold, and those whose class is right as well."""
        hits_DT, classified_T = self._accuracy.hits()
        return torch.cat([hits_DT.flatten(), classified_T]).double()

    def scores(self, total: Float[Tensor, " s"], images: int) -> dict[str, float]:
        """In percent: "boxes" is the mean MaxBoxAccV2, and its parts by name."""
        iou = self.settings.iou
        best_D = 100 * total.reshape(len(iou) + 1, -1).amax(dim=1) / images
        names = (*(f"box_acc_{delta}" for delta in iou), "top1_loc")
        return {"boxes": float(best_D[:-1].mean()), **dict(zip(names, best_D.tolist(), strict=True))}


def true_corners(record: Record) -> list[tuple[float, float, float, float]]:
    """The true boxes of an image's own classes, as the file has them."""
    return [(box.x0, box.y0, box.x1, box.y1) for box in record.boxes or () if box.class_index in record.classes]


def boxed(images: ImageSet) -> bool:
    """Whether every image has a box of its own class."""
    return bool(images.records) and all(true_corners(record) for record in images.records)
