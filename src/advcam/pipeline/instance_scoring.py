"""Instance masks of a run against ground-truth objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from advcam.data.objects import read_objects
from advcam.data.record import Record
from advcam.evaluate.instances import InstanceMatcher
from advcam.evaluate.result import defined
from advcam.pipeline.run import Run
from advcam.refine.irn.objects import FoundObjects

STAGE = "instances"


def objects_path(run: Run, record: Record) -> Path:
    return run.folder.maps(record.id, STAGE)


def instance_results(run: Run) -> list[dict[str, Any]]:
    """VOC's average precision of the instance masks on every split with ground-truth objects; empty without either."""
    if run.manifest.stages.get(STAGE, {}).get("status") != "done":
        return []
    results = []
    for split, images in run.mapped_sets.items():
        matcher = InstanceMatcher(len(run.class_names))
        for record in run.limited(images).records:
            if record.objects is None or record.mask is None or not objects_path(run, record).exists():
                continue
            found = FoundObjects.load(objects_path(run, record))
            size = (found.numbers.shape[0], found.numbers.shape[1])
            classes, masks = read_objects(record, size, len(run.class_names))
            matcher.add(*map(torch.from_numpy, (found.scores, found.classes, found.masks, classes, masks)))
        if matcher.image_count:
            results += [
                {
                    "split": split,
                    "images": found.image_count,
                    "iou": found.iou,
                    "ap": defined(found.mean),
                    "class_ap": dict(zip(run.class_names, map(defined, found.per_class), strict=True)),
                }
                for found in matcher.compute()
            ]
    return results
