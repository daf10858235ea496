"""What a confusion matrix says about a segmentation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from jaxtyping import Float64, Int64
from torch import Tensor

from advcam.errors import SettingsError


class ClassMeans(NamedTuple):
    """Precision, recall and F1, each the mean over a group of classes (Table 13)."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, eq=False)
class SegmentationScores:
    """All figures of one confusion matrix, as fractions in [0, 1].

    Classes are dataset ids with the background first. A ratio 0/0 is NaN and is left out of every mean: a class
    that is neither in the ground truth nor predicted counts nowhere; one that is only predicted counts in mIoU and
    in the precision with 0. This is how chainercv, IRN and AdvCAM count.

    The paper prints precision, recall and F1 without a rule. Its Tables 9 and 11 are met, in all six rows, by the
    harmonic mean of the two printed averages: that is ``f1``. Table 13 is not met by it in any row (44.5 and 61.6
    with an F1 of 47.6) but agrees with the mean of the classes' own F1, which is never above: that is
    ``class_means().f1``. The background takes part as a class: the IoU that belongs to the F1 of Table 9,
    F1 / (2 - F1), lies within one point of the 21-class mIoU printed for the same seeds.

    >>> import torch
    >>> scores = SegmentationScores(torch.tensor([[6, 2], [1, 3]]), image_count=1)
    >>> round(scores.miou, 4), round(scores.noise, 4)
    (0.5833, 0.4)
    """

    confusion: Int64[Tensor, "K K"] = field(repr=False)
    """Pixel counts: row = ground truth, column = prediction; ignored pixels are not in it."""
    image_count: int
    """Number of images counted."""
    set_aside: int = 0
    """Of the pixels counted, those that the prediction leaves open (255) and that count as background."""

    @property
    def iou(self) -> Float64[Tensor, " K"]:
        """Intersection over union of each class."""
        return self._hits / (self._in_truth + self._predicted - self._hits)

    @property
    def class_precision(self) -> Float64[Tensor, " K"]:
        """Of the pixels predicted as the class, the part that is right."""
        return self._hits / self._predicted

    @property
    def class_recall(self) -> Float64[Tensor, " K"]:
        """Of the pixels of the class, the part that is found."""
        return self._hits / self._in_truth

    @property
    def class_f1(self) -> Float64[Tensor, " K"]:
        """Harmonic mean of the class's precision and recall."""
        return 2 * self._hits / (self._in_truth + self._predicted)

    @property
    def miou(self) -> float:
        """Mean of ``iou``, the paper's mIoU."""
        return float(self.iou.nanmean())

    @property
    def miou_gt_present(self) -> float:
        """Mean IoU of the classes that the ground truth has (the rule of kazuto1011/deeplab-pytorch)."""
        return float(self.iou[self._in_truth > 0].mean())

    @property
    def precision(self) -> float:
        """Mean of ``class_precision`` (Table 9)."""
        return float(self.class_precision.nanmean())

    @property
    def recall(self) -> float:
        """Mean of ``class_recall`` (Table 9)."""
        return float(self.class_recall.nanmean())

    @property
    def f1(self) -> float:
        """Harmonic mean of ``precision`` and ``recall`` (Table 9)."""
        return harmonic_mean(self.precision, self.recall)

    @property
    def noise(self) -> float:
        """Proportion of noise (section 7.1): of the pixels predicted as foreground, the part that is background.
        NaN where nothing is predicted."""
        foreground = self.confusion[:, 1:].double()
        return float(foreground[0].sum() / foreground.sum())

    @property
    def pixel_accuracy(self) -> float:
        """Part of all pixels that is right."""
        return float(self._hits.sum() / self.confusion.sum())

    @property
    def set_aside_part(self) -> float:
        """Part of all pixels that the prediction leaves open."""
        return self.set_aside / max(1, int(self.confusion.sum()))

    @property
    def fw_iou(self) -> float:
        """Mean IoU weighted with the classes' number of ground-truth pixels."""
        present = self._in_truth > 0
        return float((self._in_truth * self.iou)[present].sum() / self._in_truth.sum())

    def class_means(self, classes: Sequence[int] | None = None) -> ClassMeans:
        """Means over a group of classes, by the rule of Table 13: F1 is the mean of the classes' own F1.

        Args:
            classes: dataset ids (0 is the background), such as the ten smallest classes; all of them unless told.

        Raises:
            SettingsError: an id that is no class, or no id at all.
        """
        count = len(self.confusion)
        ids = list(range(count)) if classes is None else list(classes)
        if not ids or not all(0 <= index < count for index in ids):
            raise SettingsError(f"a group of classes must name ids in 0..{count - 1}, and names {ids}")
        return ClassMeans(
            precision=float(self.class_precision[ids].nanmean()),
            recall=float(self.class_recall[ids].nanmean()),
            f1=float(self.class_f1[ids].nanmean()),
        )

    def __str__(self) -> str:
        return (
            f"mIoU {100 * self.miou:.1f}, precision {100 * self.precision:.1f}, recall {100 * self.recall:.1f}, "
            f"F1 {100 * self.f1:.1f}, noise {100 * self.noise:.1f} % on {self.image_count} images"
        )

    @property
    def _hits(self) -> Float64[Tensor, " K"]:
        return self.confusion.diagonal().double()

    @property
    def _in_truth(self) -> Float64[Tensor, " K"]:
        return self.confusion.sum(dim=1).double()

    @property
    def _predicted(self) -> Float64[Tensor, " K"]:
        return self.confusion.sum(dim=0).double()


def harmonic_mean(a: float, b: float) -> float:
    """``2ab / (a + b)``; 0 where both are 0.

    >>> round(harmonic_mean(66.9, 77.6), 1)
    71.9
    """
    return 2 * a * b / (a + b) if a + b != 0 else 0.0


def defined(value: float) -> float | None:
    """The value, or None for NaN, which JSON does not know."""
    return None if math.isnan(value) else value
