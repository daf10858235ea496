"""The figures of a localization run, in words and as they are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from advcam.evaluate.boxes_result import GT_KNOWN, BoxScores


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
