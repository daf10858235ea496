"""The boxes that a run wrote against ground-truth boxes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import torch

from advcam.evaluate.detections import RIGHT, DetectionCounts, count_boxes
from advcam.evaluate.result import ThresholdSource
from advcam.localize.detection import read_boxes
from advcam.pipeline.localize import true_boxes, truth_of
from advcam.pipeline.run import Run


@dataclass(frozen=True)
class BoxResult:
    """The boxes of one split, each class of each image matched one to one with the ground truth."""

    split: str
    images: int
    counts: DetectionCounts
    threshold: float | str
    source: ThresholdSource | None
    """None where every map has a threshold of its own, chosen without ground truth."""

    @property
    def sentence(self) -> str:
        """All of it in words."""
        found = self.counts
        where = "a threshold of its own for each map" if self.source is None else f"threshold {self.threshold}"
        return (
            f"boxes: F1 {100 * found.f1:.1f}, precision {100 * found.precision:.1f}, recall {100 * found.recall:.1f} "
            f"at an intersection over union of {RIGHT} on {self.split} ({self.images} images), {where}"
            + (f", {self.source}" if self.source else "")
        )

    def to_json(self) -> dict[str, Any]:
        """The record for ``metrics.json``; figures are fractions in [0, 1]."""
        swept_here = self.source is not None and (self.source.method, self.source.split) == ("sweep", self.split)
        return {
            "split": self.split,
            "images": self.images,
            "iou": RIGHT,
            "f1": self.counts.f1,
            "precision": self.counts.precision,
            "recall": self.counts.recall,
            "found": self.counts.found,
            "truth": self.counts.truth,
            "threshold": self.threshold,
            "threshold_source": "for each map by itself, without ground truth" if not self.source else str(self.source),
            "threshold_chosen_on_this_split": swept_here,
        }


def box_results(run: Run) -> list[BoxResult]:
    """The scores of ``boxes.csv`` on every split with ground-truth boxes; empty where either is missing."""
    stage = run.manifest.stages.get("localize", {})
    if stage.get("status") != "done" or not run.folder.boxes.exists():
        return []
    rows: dict[tuple[str, str], list[tuple[float, tuple[int, ...]]]] = defaultdict(list)
    for found in read_boxes(run.folder.boxes):
        rows[found.image, found.class_name].append((found.score, found.box))
    source = None if stage["source"] is None else ThresholdSource(**stage["source"])
    results = []
    for split in run.mapped_sets:
        records = [record for record in true_boxes(run, split) if run.folder.maps(record.id).exists()]
        counts = DetectionCounts()
        for record in records:
            for index in record.classes:
                own = sorted(rows[record.id, run.class_names[index]], key=lambda row: -row[0])
                boxes = torch.tensor([box for _, box in own], dtype=torch.float64).reshape(-1, 4)
                counts += count_boxes(boxes, truth_of(record, index))
        if records:
            results.append(BoxResult(split, len(records), counts, stage["settings"]["chosen"], source))
    return results
