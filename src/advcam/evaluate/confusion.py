"""Counting predictions against ground truth."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int64, Integer
from torch import Tensor

from advcam.data.masks import IGNORE
from advcam.errors import DataError, SettingsError
from advcam.evaluate.scores import SegmentationScores

LabelMap = Integer[Tensor, "..."] | Integer[np.ndarray, "..."]
PredictionIgnore = Literal["background", "error"]


def segmentation(
    predictions: Iterable[LabelMap],
    targets: Iterable[LabelMap],
    num_classes: int,
    ignore_index: int = IGNORE,
    prediction_ignore: PredictionIgnore = "background",
) -> SegmentationScores:
    """Score label maps against ground truth: all pixels of all images are counted together, then classes are scored.

    Args:
        predictions, targets: one integer map per image, of any sizes: lists, generators (memory stays flat), or one
            stacked array n x H x W.
        num_classes: number of labels including the background: 21 for VOC, 81 for COCO.
        ignore_index: the ground-truth value of pixels that do not count.
        prediction_ignore: what ``ignore_index`` means in a prediction: "background", or "error". The programs of IRN
            and AdvCAM read it as background when they measure masks. Leaving such pixels out would let a mask that sets
            its doubtful pixels aside look better than the one it was made from, so they count, and the scores say how
            many there are (``set_aside``): figures of masks after the ambiguity rule of section 4.5 read low, and the
            paper's are of those before it.

    Raises:
        DataError: no image, more of one than of the other, sizes that differ, or labels that are no class.
        SettingsError: ``num_classes`` or ``ignore_index`` makes no sense.

    >>> import torch
    >>> truth = torch.tensor([[0, 0, 1], [0, 1, 255]])
    >>> scores = segmentation([torch.tensor([[0, 1, 1], [0, 1, 1]])], [truth], num_classes=2)
    >>> round(scores.miou, 4), [round(value, 4) for value in scores.iou.tolist()]
    (0.6667, [0.6667, 0.6667])
    """
    matrix = ConfusionMatrix(num_classes, ignore_index, prediction_ignore)
    for index, (prediction, target) in enumerate(zip_longest(predictions, targets)):
        if prediction is None or target is None:
            few, many = ("predictions", "targets") if prediction is None else ("targets", "predictions")
            raise DataError(f"there are only {index} {few} for more {many}: give one of each per image")
        matrix.update(prediction, target)
    if matrix.image_count == 0:
        raise DataError("there is no image to evaluate: give at least one prediction and its target")
    return matrix.compute()


class ConfusionMatrix:
    """Pixel counts over images that come one at a time.

    ``counts`` is Int64[K K] on the CPU, row = ground truth, column = prediction; ``set_aside`` of these pixels have
    ``ignore_index`` in the prediction. Arguments as in ``segmentation``.

    >>> import numpy as np
    >>> matrix = ConfusionMatrix(num_classes=3)
    >>> matrix.update(np.array([[0, 2], [2, 1]]), np.array([[0, 2], [1, 1]]))
    >>> matrix.counts.tolist()
    [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    """

    def __init__(
        self, num_classes: int, ignore_index: int = IGNORE, prediction_ignore: PredictionIgnore = "background"
    ) -> None:
        check_labels(num_classes, ignore_index)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.prediction_ignore = prediction_ignore
        self.counts = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        self.image_count = self.set_aside = 0

    def update(self, prediction: LabelMap, target: LabelMap, name: str | None = None) -> None:
        """Count one image. ``name`` is what errors call it, else its number from 0."""
        name = name or f"image {self.image_count}"
        p_HW, t_HW = as_labels(prediction), as_labels(target)
        if p_HW.ndim != 2 or p_HW.shape != t_HW.shape:
            raise DataError(
                f"{name}: the prediction has shape {tuple(p_HW.shape)} and the target "
                f"{tuple(t_HW.shape)}, but both must be maps H x W: bring the prediction to the target's size"
            )
        p_HW = p_HW.masked_fill(t_HW.to(p_HW.device) == self.ignore_index, 0)
        aside_HW = p_HW == self.ignore_index
        if self.prediction_ignore == "background":
            p_HW = p_HW.masked_fill(aside_HW, 0)
        check_range(p_HW, self.num_classes, f"the prediction of {name}")
        t_HW = ignored_last(t_HW, self.num_classes, self.ignore_index, f"the target of {name}")
        pairs_HW = t_HW.to(p_HW.device) * self.num_classes + p_HW
        pairs = torch.bincount(pairs_HW.flatten(), minlength=(self.num_classes + 1) * self.num_classes)
        self.counts += pairs.view(self.num_classes + 1, self.num_classes)[:-1].cpu()
        self.image_count += 1
        self.set_aside += int(aside_HW.sum())

    def compute(self) -> SegmentationScores:
        """The scores of all images so far; further updates do not change them."""
        return SegmentationScores(self.counts.clone(), self.image_count, self.set_aside)


def as_labels(labels: LabelMap) -> Int64[Tensor, ...]:
    """The labels as Int64, on their device; DataError for numbers that are not whole."""
    floating = (
        np.issubdtype(labels.dtype, np.floating) if isinstance(labels, np.ndarray) else labels.is_floating_point()
    )
    if floating:
        raise DataError(f"labels must be whole numbers, not {labels.dtype}: take the arg max of scores first")
    if isinstance(labels, np.ndarray):
        return torch.from_numpy(labels.astype(np.int64))
    return labels.to(torch.int64)


def check_labels(num_classes: int, ignore_index: int) -> None:
    """Raise SettingsError unless there are classes and ``ignore_index`` is none of them."""
    if num_classes < 1:
        raise SettingsError(f"num_classes must be at least 1 (it counts the background), not {num_classes}")
    if 0 <= ignore_index < num_classes:
        raise SettingsError(f"ignore_index must not be a class, and {ignore_index} is one of {num_classes} classes")


def ignored_last(labels: Int64[Tensor, "H W"], num_classes: int, ignore_index: int, what: str) -> Int64[Tensor, "H W"]:
    """The labels with ignored pixels as one more class, so that histograms need no selection of pixels."""
    ignored = labels == ignore_index
    check_range(labels.masked_fill(ignored, 0), num_classes, what)
    return labels.masked_fill(ignored, num_classes)


def check_range(labels: Int64[Tensor, ...], num_classes: int, what: str) -> None:
    """Raise DataError where a label is no class."""
    if labels.numel() == 0:
        return
    low, high = (int(bound) for bound in labels.aminmax())
    if low < 0 or high >= num_classes:
        wrong = low if low < 0 else high
        raise DataError(
            f"{what} holds the value {wrong}, but labels are 0..{num_classes - 1} with num_classes={num_classes}: "
            f"count the background in num_classes and check which data set the file belongs to"
        )
