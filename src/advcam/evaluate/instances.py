"""Average precision of instance masks, as PASCAL VOC counts it: one detection per object, the surest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from advcam.errors import DataError


@dataclass(frozen=True)
class InstanceAP:
    """Average precision at one overlap."""

    iou: float
    """Least intersection over union of a detection that counts as right."""
    per_class: tuple[float, ...]
    """In [0, 1]; not a number for classes without an object."""
    image_count: int

    @property
    def mean(self) -> float:
        """Over the classes that have objects; not a number where none has."""
        known = [value for value in self.per_class if not np.isnan(value)]
        return sum(known) / len(known) if known else float("nan")


class InstanceMatcher:
    """Holds the detections of one image after another against its objects; keeps a score and a yes or no of each.

    A detection is matched with the object of its class in its image that it overlaps most. It is right if the overlap
    reaches ``iou`` and no surer detection was matched with that object; whatever reaches it second is wrong. This is
    chainercv's ``eval_instance_segmentation_voc``, by which IRN's program measures. Detections of one score keep the
    order in which they came.

    Args:
        iou: overlaps at which to count.

    >>> import torch
    >>> matcher = InstanceMatcher(2)
    >>> masks = torch.eye(2, dtype=torch.bool)[:, None]  # two objects of one pixel
    >>> matcher.add(torch.tensor([0.9, 0.8]), torch.tensor([1, 1]), masks, torch.tensor([1, 1]), masks)
    >>> [(found.iou, found.mean) for found in matcher.compute()]
    [(0.5, 1.0), (0.75, 1.0)]
    """

    def __init__(self, num_classes: int, iou: Sequence[float] = (0.5, 0.75)) -> None:
        self.iou = tuple(iou)
        self.image_count = 0
        self._objects = np.zeros(num_classes, np.int64)
        self._scores: list[list[float]] = [[] for _ in range(num_classes)]
        self._right: list[list[list[bool]]] = [[[] for _ in self.iou] for _ in range(num_classes)]

    def add(
        self,
        scores: Float[Tensor, " m"],
        classes: Int[Tensor, " m"],
        masks: Bool[Tensor, "m H W"],
        truth_classes: Int[Tensor, " n"],
        truth_masks: Bool[Tensor, "n H_true W_true"],
    ) -> None:
        """Count one image; its detections and its objects have 0-based classes.

        Raises:
            DataError: detections and objects are of images of different size.
        """
        if masks.shape[1:] != truth_masks.shape[1:]:
            raise DataError(
                f"instance masks of {masks.shape[1]} x {masks.shape[2]} pixels cannot be held against objects of "
                f"{truth_masks.shape[1]} x {truth_masks.shape[2]}: both must be of one image"
            )
        self.image_count += 1
        for index in range(len(self._scores)):
            mine, true = classes == index, truth_classes == index
            self._objects[index] += int(true.sum())
            order = scores[mine].argsort(descending=True, stable=True)
            overlaps = overlap(masks[mine][order], truth_masks[true])
            self._scores[index] += scores[mine][order].tolist()
            for place, least in enumerate(self.iou):
                self._right[index][place] += matched(overlaps, least)

    def compute(self) -> tuple[InstanceAP, ...]:
        """The average precision at each overlap, over all images so far."""
        return tuple(
            InstanceAP(
                least,
                tuple(self._average_precision(index, place) for index in range(len(self._scores))),
                self.image_count,
            )
            for place, least in enumerate(self.iou)
        )

    def _average_precision(self, index: int, place: int) -> float:
        if not self._objects[index]:
            return float("nan")
        order = np.argsort(-np.asarray(self._scores[index]), kind="stable")
        right = np.asarray(self._right[index][place], bool)[order]
        return area_under(right, int(self._objects[index]))


def overlap(masks: Bool[Tensor, "m H W"], others: Bool[Tensor, "n H W"]) -> Float64[Tensor, "m n"]:
    """Intersection over union of every pair of masks; 0 for two empty ones.

    >>> import torch
    >>> overlap(torch.tensor([[[True, True]]]), torch.tensor([[[True, False]]])).item()
    0.5
    """
    flat, other = masks.flatten(1).double(), others.flatten(1).double()
    both = flat @ other.T
    either = flat.sum(dim=1)[:, None] + other.sum(dim=1) - both
    return both / either.clamp(min=1)


def matched(overlaps: Float64[Tensor, "m n"], least: float) -> list[bool]:
    """For each detection, the surest first: whether it is the first to reach the object that it overlaps most."""
    taken: set[int] = set()
    right = []
    for row in overlaps:
        best = int(row.argmax()) if len(row) else -1
        reached = best >= 0 and float(row[best]) >= least
        right.append(reached and best not in taken)
        if reached:
            taken.add(best)
    return right


def area_under(right: Bool[np.ndarray, " m"], objects: int) -> float:
    """The area under precision over recall, each precision raised to the best one at any higher recall (VOC 2010).

    >>> area_under(np.array([True, False, True]), 2)  # precision 1 up to half of the objects, then 2/3
    0.8333333333333333
    """
    hits = np.cumsum(right)
    recall = np.concatenate([[0.0], hits / objects])
    precision = hits / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall) * envelope).sum())
