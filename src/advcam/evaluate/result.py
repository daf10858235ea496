"""A score with all that is needed to read it: split, image count, threshold and where the threshold was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from advcam.errors import SettingsError
from advcam.evaluate.scores import SegmentationScores, defined


@dataclass(frozen=True)
class ThresholdSource:
    """Where a background threshold comes from.

    >>> print(ThresholdSource.sweep("train", 1464))
    best of a sweep over the ground truth of train (1464 images)
    """

    method: Literal["fixed", "maps", "sweep"]
    """"fixed": set beforehand. "maps": chosen from maps without ground truth. "sweep": the best one on ground truth."""
    split: str | None = None
    """The split whose maps or ground truth were used; None for a fixed threshold."""
    image_count: int | None = None
    """Number of images used; None for a fixed threshold."""

    def __post_init__(self) -> None:
        if (self.method == "fixed") != (self.split is None) or (self.split is None) != (self.image_count is None):
            raise SettingsError(
                f"a {self.method} threshold must name the split it was chosen on and its number of images "
                f"exactly where it is not fixed, and names {self.split} and {self.image_count}"
            )

    @classmethod
    def fixed(cls) -> ThresholdSource:
        """Set beforehand."""
        return cls("fixed")

    @classmethod
    def maps(cls, split: str, image_count: int) -> ThresholdSource:
        """Chosen from the maps of a split, without ground truth."""
        return cls("maps", split, image_count)

    @classmethod
    def sweep(cls, split: str, image_count: int) -> ThresholdSource:
        """The best one on the ground truth of a split."""
        return cls("sweep", split, image_count)

    def __str__(self) -> str:
        if self.method == "fixed":
            return "fixed beforehand"
        if self.method == "maps":
            return f"chosen from the maps of {self.split} ({self.image_count} images), without ground truth"
        return f"best of a sweep over the ground truth of {self.split} ({self.image_count} images)"


@dataclass(frozen=True)
class WeightsSource:
    """How the weights of a network were chosen among those that its training had validated.

    >>> print(WeightsSource("val", 80))
    best of 80 validations on val
    """

    split: str
    """The split whose ground truth chose them."""
    validations: int
    """Number of validations."""

    def __str__(self) -> str:
        return f"best of {self.validations} validation{'s' if self.validations > 1 else ''} on {self.split}"


@dataclass(frozen=True, eq=False)
class SegmentationResult:
    """The scores of one set of masks.

    >>> import torch
    >>> scores = SegmentationScores(torch.tensor([[6, 2], [1, 3]]), image_count=58)
    >>> print(SegmentationResult("cam seed", "val", scores, 0.3, ThresholdSource.sweep("train", 89)))
    cam seed: mIoU 58.3 on val (58 images), threshold 0.3, best of a sweep over the ground truth of train (89 images)
    >>> print(SegmentationResult("cct", "val", scores, weights_source=WeightsSource("val", 80)))
    cct: mIoU 58.3 on val (58 images), weights best of 80 validations on val, chosen there
    """

    masks: str
    """What was scored: "cam seed", "advcam seed", "crf", ..."""
    split: str
    """The split that was scored."""
    scores: SegmentationScores
    """The figures, with the number of images."""
    threshold: float | None = None
    """The background threshold of the masks; None where there is none, as for a segmentation network."""
    threshold_source: ThresholdSource | None = None
    """Where the threshold comes from; given exactly where there is a threshold."""
    class_names: Sequence[str] | None = None
    """Names of the labels without the background, for the table by class."""
    weights_source: WeightsSource | None = None
    """How the weights of a network were chosen; None where they were not, such as those after the last update."""

    def __post_init__(self) -> None:
        if (self.threshold is None) != (self.threshold_source is None):
            raise SettingsError(f"the result {self.masks!r} must give a threshold together with where it was chosen")
        if self.class_names is not None and len(self.class_names) + 1 != len(self.scores.confusion):
            raise SettingsError(
                f"the result {self.masks!r} has {len(self.class_names)} class names for "
                f"{len(self.scores.confusion)} labels: name all but the background"
            )

    @property
    def chosen_on_this_split(self) -> bool:
        """True where the threshold is the best one on the very ground truth that is scored: an upper bound."""
        source = self.threshold_source
        return source is not None and source.method == "sweep" and source.split == self.split

    @property
    def weights_chosen_on_this_split(self) -> bool:
        """True where the network's weights are those, of several, that do best on the very ground truth that is scored:
        the figure lies above what new images would give."""
        source = self.weights_source
        return source is not None and source.validations > 1 and source.split == self.split

    def to_json(self) -> dict[str, Any]:
        """The record for ``metrics.json``; a figure that is not defined is null."""
        scores, source = self.scores, self.threshold_source
        classes = [str(index) for index in range(len(scores.confusion))]
        if self.class_names is not None:
            classes = ["background", *self.class_names]
        means = scores.class_means()
        return {
            "masks": self.masks,
            "split": self.split,
            "images": scores.image_count,
            "threshold": self.threshold,
            "threshold_source": None if source is None else str(source),
            "threshold_method": None if source is None else source.method,
            "threshold_split": None if source is None else source.split,
            "threshold_images": None if source is None else source.image_count,
            "threshold_chosen_on_this_split": self.chosen_on_this_split,
            "weights_source": None if self.weights_source is None else str(self.weights_source),
            "weights_chosen_on_this_split": self.weights_chosen_on_this_split,
            "set_aside": scores.set_aside_part,
            "miou": defined(scores.miou),
            "miou_gt_present": defined(scores.miou_gt_present),
            "precision": defined(scores.precision),
            "recall": defined(scores.recall),
            "f1": defined(scores.f1),
            "mean_class_f1": defined(means.f1),
            "noise": defined(scores.noise),
            "pixel_accuracy": defined(scores.pixel_accuracy),
            "fw_iou": defined(scores.fw_iou),
            "iou": dict(zip(classes, map(defined, scores.iou.tolist()), strict=True)),
            "class_precision": dict(zip(classes, map(defined, scores.class_precision.tolist()), strict=True)),
            "class_recall": dict(zip(classes, map(defined, scores.class_recall.tolist()), strict=True)),
        }

    def __str__(self) -> str:
        line = f"{self.masks}: mIoU {100 * self.scores.miou:.1f} on {self.split} ({self.scores.image_count} images)"
        if self.threshold is not None:
            line += f", threshold {self.threshold:.4g}, {self.threshold_source}"
        if self.weights_source is not None:
            line += f", weights {self.weights_source}"
        line += ", chosen there" if self.weights_chosen_on_this_split else ""
        if self.scores.set_aside:
            line += f"; {100 * self.scores.set_aside_part:.1f} % of the pixels are 255 and count as background"
        return line
