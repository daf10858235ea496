"""The figures of a localization run: box accuracy against boxes, PxAP against masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from advcam.attribute.wsol import ScoreMapFile
from advcam.data.masks import IGNORE, objects_and_ignored, read_mask
from advcam.data.record import MaskFiles, Record
from advcam.evaluate.boxes import BoxAccuracy
from advcam.evaluate.boxes_result import GT_KNOWN, BoxScores
from advcam.evaluate.pixels import PixelAP, PixelScores
from advcam.evaluate.validation import true_corners
from advcam.pipeline.run import Run


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


def wsol_results(run: Run) -> list[WSOLResult]:
    """Both kinds of maps on every split with boxes; empty where this is no localization run."""
    if run.config.wsol.method == "none":
        return []
    results = []
    method = run.config.attribute.method
    for kind in ("cam",) if method == "cam" else ("cam", "maps"):
        scores = {split: found for split in run.mapped_sets if (found := box_scores(run, kind, split)) is not None}
        tuned_on = run.tune_name if run.tune_name in scores else next(iter(scores), "")
        for split, found in scores.items():
            name = "cam" if kind == "cam" else method
            results.append(WSOLResult(name, split, found, tuned_on, scores[tuned_on].thresholds))
    return results


def pxap_results(run: Run) -> list[dict[str, Any]]:
    """PxAP of both kinds of maps on every split whose images have masks and no boxes, for ``metrics.json``."""
    if run.config.wsol.method == "none":
        return []
    found = []
    method = run.config.attribute.method
    for kind in ("cam",) if method == "cam" else ("cam", "maps"):
        for split in run.mapped_sets:
            records = [
                record
                for record in run.limited(run.mapped_sets[split]).records
                if record.mask is not None and not record.boxes and run.folder.score_maps(record.id).exists()
            ]
            if records:
                scores = pixel_scores(run, kind, records)
                name = "cam" if kind == "cam" else method
                found.append({"masks": name, "split": split, "images": len(records), "pxap": scores.pxap})
    return found


def pixel_scores(run: Run, kind: str, records: list[Record]) -> PixelScores:
    """PxAP of one kind of maps."""
    accumulator = PixelAP(run.config.box_acc.maps)
    size = run.config.box_acc.maps.size
    for record in records:
        file = ScoreMapFile.load(run.folder.score_maps(record.id))
        if isinstance(record.mask, MaskFiles):
            # Each at its own size, so each is brought to the map's by itself.
            foreground, ignored = objects_and_ignored(record.mask, size, size)
        else:
            mask = read_mask(record, file.image_size, len(run.class_names))
            foreground, ignored = mask == file.label + 1, mask == IGNORE
        score_map = torch.from_numpy(file.cam if kind == "cam" else file.maps)
        truth = (torch.from_numpy(foreground), torch.from_numpy(ignored))
        accumulator.update(score_map, *truth, name=str(record.image))
    return accumulator.compute()


def scored(run: Run, split: str) -> list[Record]:
    """The images of a split with boxes of their own class and with maps."""
    records = run.limited(run.mapped_sets[split]).records
    return [record for record in records if true_corners(record) and run.folder.score_maps(record.id).exists()]


def box_scores(run: Run, kind: str, split: str) -> BoxScores | None:
    """Every figure of the benchmark for one kind of maps; None without ground truth."""
    accuracy = BoxAccuracy(run.config.box_acc)
    records = scored(run, split)
    for record in records:
        file = ScoreMapFile.load(run.folder.score_maps(record.id))
        score_map = torch.from_numpy(file.cam if kind == "cam" else file.maps)
        right = file.predicted == file.label
        accuracy.update(score_map, true_corners(record), file.image_size[::-1], right, name=str(record.image))
    return accuracy.compute() if records else None
