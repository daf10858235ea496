"""Boxes of objects against ground-truth boxes, one to one: precision, recall and F1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Num
from torch import Tensor
from torchvision.ops import box_iou

# Intersection over union from which on a box is right.
RIGHT = 0.5


@dataclass(frozen=True)
class DetectionCounts:
    """How many boxes were found, how many there are, and how many of them were found rightly.

    >>> counts = DetectionCounts(right=3, found=4, truth=6)
    >>> counts.precision, counts.recall, round(counts.f1, 4)
    (0.75, 0.5, 0.6)
    """

    right: int = 0
    found: int = 0
    truth: int = 0

    def __add__(self, other: DetectionCounts) -> DetectionCounts:
        return DetectionCounts(self.right + other.right, self.found + other.found, self.truth + other.truth)

    @property
    def precision(self) -> float:
        """Part of the found boxes that is right, in [0, 1]; 0 where none was found."""
        return self.right / max(1, self.found)

    @property
    def recall(self) -> float:
        """Part of the true boxes that was found, in [0, 1]; 0 where there is none."""
        return self.right / max(1, self.truth)

    @property
    def f1(self) -> float:
        """Harmonic mean of both, ``2 right / (found + truth)``."""
        return 2 * self.right / max(1, self.found + self.truth)


def count_boxes(
    boxes: Num[Tensor, "m 4"], truth: Num[Tensor, "n 4"] | Iterable[Iterable[float]], iou: float = RIGHT
) -> DetectionCounts:
    """Match boxes of one image and class with the true ones, in their order, each true box at most once.

    Args:
        boxes: x0, y0, x1, y1, the surest first; x1 and y1 are one past the last pixel.
        truth: the same for the ground truth.
        iou: least intersection over union of a match.

    >>> import torch
    >>> count_boxes(torch.tensor([[0, 0, 10, 10], [0, 0, 9, 10], [40, 40, 50, 50]]), [(0, 0, 10, 11), (20, 20, 30, 30)])
    DetectionCounts(right=1, found=3, truth=2)
    """
    if not isinstance(truth, Tensor):
        truth = torch.tensor([list(box) for box in truth], dtype=torch.float64).reshape(-1, 4)
    overlaps_MN: Float64[Tensor, "m n"] = box_iou(boxes.double(), truth.double())
    right = 0
    for overlaps_N in overlaps_MN:
        if len(truth) and overlaps_N.max() >= iou:
            overlaps_MN[:, int(overlaps_N.argmax())] = -1
            right += 1
    return DetectionCounts(right, len(boxes), len(truth))
