"""What an evaluation of boxes finds, and how it is told and kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float64
from torch import Tensor

from advcam.errors import SettingsError

GT_KNOWN = 50
"""The level of intersection over union, in percent, of V1, GT-known Loc and Top-1 Loc."""


@dataclass(frozen=True)
class BoxCurves:
    """Box accuracy over the CAM threshold tau, for one choice of contours.

    ``tau``: the thresholds, ascending. ``accuracy[delta]``: BoxAcc(tau, delta), percent of the images of which a box
    reaches delta percent intersection over union with a true box. ``best_iou``: per image, the best over all tau, in
    [0, 1].
    """

    tau: Float64[Tensor, " t"]
    accuracy: dict[int, Float64[Tensor, " t"]]
    best_iou: Float64[Tensor, " n"]

    def best(self, delta: int) -> float:
        """MaxBoxAcc(delta): the highest accuracy over tau, in percent."""
        return float(self.accuracy[delta].max())

    def best_threshold(self, delta: int) -> float:
        """The smallest tau that reaches :meth:`best`."""
        return self.best_thresholds(delta)[0]

    def best_thresholds(self, delta: int) -> tuple[float, float]:
        """The smallest and the largest tau that reach :meth:`best`."""
        reached = self.tau[self.accuracy[delta] == self.accuracy[delta].max()]
        return float(reached[0]), float(reached[-1])

    def at(self, delta: int, threshold: float) -> float:
        """BoxAcc(tau, delta) at one threshold, say one chosen on other images, in percent."""
        return float(self.accuracy[delta][nearest_threshold(self.tau, threshold)])


@dataclass(frozen=True)
class BoxScores:
    """Every figure of the WSOL benchmark for boxes. Thresholds are the best on the very images that are scored.

    ``iou``: the levels delta of MaxBoxAccV2, in percent. ``all``: over all contours (V2); ``largest``: over the
    largest alone (V1). Both also hold delta = 50 where it is not in ``iou``.
    ``top1_cls``: percent of the images whose class is right; ``top1_loc_curve``: percent of those that also reach
    delta = 50, over tau; both None where nothing was said about classes.
    """

    iou: tuple[int, ...]
    all: BoxCurves
    largest: BoxCurves
    top1_cls: float | None = None
    top1_loc_curve: Float64[Tensor, " t"] | None = None

    @property
    def num_images(self) -> int:
        """How many images were scored."""
        return len(self.all.best_iou)

    @property
    def v2(self) -> dict[int, float]:
        """MaxBoxAccV2(delta) for each delta, in percent: the threshold is chosen for each delta by itself."""
        return {delta: self.all.best(delta) for delta in self.iou}

    @property
    def mean(self) -> float:
        """MaxBoxAccV2: the mean of :attr:`v2`, in percent."""
        return sum(self.v2.values()) / len(self.iou)

    @property
    def v1(self) -> float:
        """MaxBoxAcc, the first version: the largest contour, delta = 50, in percent."""
        return self.largest.best(GT_KNOWN)

    @property
    def gt_known(self) -> float:
        """GT-known Loc, which is MaxBoxAccV2(50), in percent."""
        return self.all.best(GT_KNOWN)

    @property
    def top1_loc(self) -> float | None:
        """Top-1 Loc: class right and delta = 50 reached by any contour, at the best tau, in percent of all images."""
        return None if self.top1_loc_curve is None else float(self.top1_loc_curve.max())

    @property
    def thresholds(self) -> dict[int, float]:
        """For each delta the smallest tau at which MaxBoxAccV2(delta) is reached."""
        return {delta: self.all.best_threshold(delta) for delta in self.iou}

    def top1_loc_at(self, threshold: float) -> float | None:
        """Top-1 Loc at one threshold, say one chosen on other images, in percent."""
        if self.top1_loc_curve is None:
            return None
        return float(self.top1_loc_curve[nearest_threshold(self.all.tau, threshold)])


def nearest_threshold(tau: Float64[Tensor, " t"], threshold: float) -> int:
    """The index of a threshold among tau, rounding errors forgiven.

    >>> import torch
    >>> nearest_threshold(torch.tensor([0.0, 0.1, 0.2], dtype=torch.float64), 0.1)
    1
    """
    index = int((tau - threshold).abs().argmin())
    if abs(float(tau[index]) - threshold) > 1e-9:
        raise SettingsError(
            f"threshold {threshold} was not tried; the nearest that was is {float(tau[index]):g}: take that, "
            "or a finer step"
        )
    return index


@dataclass(frozen=True)
class WSOLResult:
    """The box scores of one kind of maps on one split, and the thresholds of the tuning split carried over to it."""

    masks: str
    """"cam" for the maps of the unchanged images, else the method."""
    split: str
    scores: BoxScores
    tuned_on: str
    tuned: dict[int, float]
    """By level of intersection over union, the threshold that is best on the tuning split."""

    @property
    def sentence(self) -> str:
        """The main figures in words."""
        found = self.scores
        levels = "/".join(f"{value:.1f}" for value in found.v2.values())
        carried = "/".join(f"{found.all.at(delta, tau):.1f}" for delta, tau in self.tuned.items())
        return (
            f"{self.masks}: MaxBoxAccV2 {levels} (mean {found.mean:.1f}), Top-1 Cls {found.top1_cls:.1f}, Top-1 Loc "
            f"{found.top1_loc:.1f} on {self.split} ({found.num_images} images); {carried} at the thresholds of "
            f"{self.tuned_on}"
        )

    def to_json(self) -> dict[str, Any]:
        """The record for ``metrics.json``; figures in percent, thresholds in [0, 1)."""
        found = self.scores
        carried = {str(delta): found.all.at(delta, tau) for delta, tau in self.tuned.items()}
        # A curve of a hundred points shows all there is to see.
        every = max(1, len(found.all.tau) // 100)
        return {
            "masks": self.masks,
            "split": self.split,
            "images": found.num_images,
            "max_box_acc_v2": {str(delta): value for delta, value in found.v2.items()},
            "max_box_acc_v2_mean": found.mean,
            "max_box_acc_v1": found.v1,
            "gt_known_loc": found.gt_known,
            "top1_cls": found.top1_cls,
            "top1_loc": found.top1_loc,
            "thresholds": {str(delta): round(tau, 6) for delta, tau in found.thresholds.items()},
            "threshold_rule": "the best on these very images, for each level by itself, as the benchmark has it",
            "tuned": {
                "split": self.tuned_on,
                "thresholds": {str(delta): round(tau, 6) for delta, tau in self.tuned.items()},
                "box_acc": carried,
                "mean": sum(carried.values()) / len(carried),
                "top1_loc": found.top1_loc_at(self.tuned.get(GT_KNOWN, found.all.best_threshold(GT_KNOWN))),
            },
            "curves": {
                "tau": [round(tau, 6) for tau in found.all.tau[::every].tolist()],
                "box_acc": {str(delta): found.all.accuracy[delta][::every].tolist() for delta in found.iou},
            },
            "best_iou": {
                "mean": float(found.all.best_iou.mean()),
                "median": float(found.all.best_iou.median()),
            },
        }
