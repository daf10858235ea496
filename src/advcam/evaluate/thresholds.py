"""All background thresholds in one pass over the maps. The sweep reads ground truth: it scores, it never decides.

Shape suffixes: T thresholds, B = T + 1 bins between them, K labels of the data set with background, k classes of
the image.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor

from advcam.data.masks import IGNORE
from advcam.errors import DataError, SettingsError
from advcam.evaluate.confusion import LabelMap, as_labels, check_labels, ignored_last
from advcam.evaluate.scores import SegmentationScores, defined
from advcam.evaluate.settings import SweepSettings


@dataclass(frozen=True, eq=False)
class ThresholdSweep:
    """Scores at every threshold of a sweep.

    The best threshold is the one with the highest mIoU, the lowest of them where several are equal. It was chosen
    on the very ground truth that it is scored on, so its mIoU is an upper bound, not a result.
    """

    thresholds: tuple[float, ...]
    """Ascending, in units of maps normalised to [0, 1]."""
    confusions: Int64[Tensor, "T K K"] = field(repr=False)
    """One confusion matrix per threshold."""
    image_count: int
    """Number of images counted."""

    @property
    def scores(self) -> tuple[SegmentationScores, ...]:
        """All scores, threshold by threshold."""
        return tuple(SegmentationScores(confusion, self.image_count) for confusion in self.confusions)

    @property
    def miou(self) -> Float64[Tensor, " T"]:
        """mIoU at each threshold."""
        return self._curve("miou")

    @property
    def best_index(self) -> int:
        """Index of the best threshold."""
        return int(self.miou.nan_to_num(-1.0).argmax())

    @property
    def best_threshold(self) -> float:
        """The first threshold with the highest mIoU."""
        return self.thresholds[self.best_index]

    @property
    def best(self) -> SegmentationScores:
        """The scores at the best threshold."""
        return SegmentationScores(self.confusions[self.best_index], self.image_count)

    @property
    def best_is_at_edge(self) -> bool:
        """True where the best threshold is the first or the last one: the range is probably too narrow."""
        return self.best_index in (0, len(self.thresholds) - 1)

    def at(self, threshold: float) -> SegmentationScores:
        """The scores at one of the thresholds of the sweep.

        Raises:
            SettingsError: a threshold that the sweep did not try.
        """
        for index, tried in enumerate(self.thresholds):
            if abs(tried - threshold) < 1e-9:
                return SegmentationScores(self.confusions[index], self.image_count)
        raise SettingsError(
            f"the sweep did not try the threshold {threshold}, only {len(self.thresholds)} values "
            f"from {self.thresholds[0]} to {self.thresholds[-1]}: sweep again with it"
        )

    def to_json(self) -> dict[str, Any]:
        """The curves for ``metrics.json``; a figure that is not defined is null."""
        names = ("miou", "precision", "recall", "f1", "noise")
        curves = {name: [defined(value) for value in self._curve(name).tolist()] for name in names}
        return {
            "images": self.image_count,
            "thresholds": list(self.thresholds),
            **curves,
            "best_threshold": self.best_threshold,
            "best_is_at_edge": self.best_is_at_edge,
        }

    def _curve(self, name: str) -> Float64[Tensor, " T"]:
        return torch.tensor([getattr(scores, name) for scores in self.scores], dtype=torch.float64)


def sweep(
    images: Iterable[tuple[Tensor, Tensor, LabelMap]],
    num_classes: int,
    thresholds: Sequence[float] | None = None,
    ignore_index: int = IGNORE,
) -> ThresholdSweep:
    """Score the seeds of all images at every threshold, each image read once.

    A pixel's label is the arg max over [threshold; maps]: the class of the highest map where that is above the
    threshold, else background (section 5.2; equal values go to the background).

    Args:
        images: per image ``(maps, classes, target)``: maps Float[k H W] in [0, 1] at the target's size, their
            0-based classes Int[k], and the target, an integer map H x W of 0 background, class + 1, ignored.
        num_classes: number of labels including the background.
        thresholds: ascending; those of ``SweepSettings()`` unless told.
        ignore_index: the target's value of pixels that do not count.

    Raises:
        DataError: no image, sizes that differ, maps with NaN, or labels that are no class.
        SettingsError: thresholds that are not ascending.

    >>> import torch
    >>> maps = torch.tensor([[[0.1, 0.5, 0.9]]])
    >>> result = sweep([(maps, torch.tensor([0]), torch.tensor([[0, 1, 1]]))], 2, (0.0, 0.3, 0.6))
    >>> result.best_threshold, result.best.miou
    (0.3, 1.0)
    """
    counts = SweepCounts(num_classes, thresholds, ignore_index)
    for maps, classes, target in images:
        counts.update(maps, classes, target)
    if counts.image_count == 0:
        raise DataError("there is no image to sweep over: give at least one with maps and ground truth")
    return counts.compute()


class SweepCounts:
    """Pixel counts for a sweep over images that come one at a time.

    The winning class of a pixel does not depend on the threshold, only whether it beats it does. So one joint
    histogram of (number of thresholds below the winning value, target, winning class) holds every confusion matrix.
    """

    def __init__(self, num_classes: int, thresholds: Sequence[float] | None = None, ignore_index: int = IGNORE) -> None:
        check_labels(num_classes, ignore_index)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.thresholds = SweepSettings().thresholds if thresholds is None else tuple(float(t) for t in thresholds)
        ascending = all(a < b for a, b in zip(self.thresholds, self.thresholds[1:], strict=False))
        if not self.thresholds or not ascending:
            raise SettingsError(f"thresholds must be ascending, and are {list(self.thresholds)}")
        self.joint_BKK = torch.zeros(len(self.thresholds) + 1, num_classes, num_classes, dtype=torch.int64)
        self.image_count = 0

    def update(
        self, maps: Float[Tensor, "k H W"], classes: Int[Tensor, " k"], target: LabelMap, name: str | None = None
    ) -> None:
        """Count one image; arguments as in ``sweep``. ``name`` is what errors call it, else its number from 0."""
        name = name or f"image {self.image_count}"
        t_HW = as_labels(target)
        if t_HW.shape != maps.shape[1:]:
            raise DataError(
                f"{name}: the maps have size {tuple(maps.shape[1:])} and the target "
                f"{tuple(t_HW.shape)}: bring the maps to the target's size"
            )
        k, labels = len(classes), self.num_classes
        if k and not (int(classes.min()) >= 0 and int(classes.max()) < labels - 1):
            raise DataError(
                f"{name}: its classes are {classes.tolist()}, but with num_classes={labels} including the background "
                f"they lie in 0..{labels - 2}: correct the labels or num_classes"
            )
        t_HW = ignored_last(t_HW, labels, self.ignore_index, f"the target of {name}")
        if k == 0:
            self.joint_BKK[0, :, 0] += torch.bincount(t_HW.flatten(), minlength=labels + 1)[:-1].cpu()
        else:
            value_HW, winner_HW = maps.max(dim=0)
            if value_HW.isnan().any():
                raise DataError(f"{name}: the maps hold NaN: compute them again")
            # The reference programs compare in the maps' precision: 0.3 against a float32 map is float32's 0.3.
            plane_T = torch.tensor(self.thresholds, dtype=torch.float64).to(maps)
            bin_HW = torch.bucketize(value_HW, plane_T)
            index_HW = (bin_HW * (labels + 1) + t_HW.to(maps.device)) * k + winner_HW
            shape = (len(plane_T) + 1, labels + 1, k)
            joint = torch.bincount(index_HW.flatten(), minlength=math.prod(shape)).view(shape)[:, :-1].cpu()
            self.joint_BKK.index_add_(2, classes.cpu().to(torch.int64) + 1, joint)
        self.image_count += 1

    def compute(self) -> ThresholdSweep:
        """The scores at every threshold; further updates do not change them."""
        kept_BKK = self.joint_BKK.flip(0).cumsum(0).flip(0)
        confusions_TKK = kept_BKK[1:].clone()
        confusions_TKK[:, :, 0] += self.joint_BKK.sum(dim=2).cumsum(0)[:-1]
        return ThresholdSweep(self.thresholds, confusions_TKK, self.image_count)
