"""Ground truth against what a run made: sweeps over seeds, scores of masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from advcam.attribute.grid import full_size
from advcam.attribute.result import LocalizationMaps
from advcam.data.images import open_picture
from advcam.data.masks import read_mask
from advcam.data.record import ImageSet, Record
from advcam.errors import RunError
from advcam.evaluate import ConfusionMatrix, SegmentationScores, ThresholdSweep, sweep
from advcam.pipeline.run import Run


def scored_records(run: Run, split: str) -> tuple[Record, ...]:
    """The images of a split that have ground truth; empty where none has."""
    images: ImageSet = run.limited(run.mapped_sets[split])
    return tuple(record for record in images.records if record.mask is not None)


def sweep_split(run: Run, kind: str, split: str, thresholds: tuple[float, ...] | None = None) -> ThresholdSweep | None:
    """The seeds of one kind of maps at all thresholds (the sweep's unless told); None without ground truth."""
    records = [record for record in scored_records(run, split) if run.folder.maps(record.id, kind).exists()]
    if not records:
        return None

    def images() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for record in records:
            result = LocalizationMaps.load(run.folder.maps(record.id, kind))
            target = read_mask(record, result.image_size, len(run.class_names))
            maps = full_size(torch.from_numpy(result.maps).float(), result.image_size)
            yield maps, torch.from_numpy(result.classes), torch.from_numpy(target)

    return sweep(images(), len(run.class_names) + 1, thresholds or run.config.sweep.thresholds)


def score_masks(run: Run, kind: str, split: str) -> SegmentationScores | None:
    """The masks of one kind against ground truth; None without either."""
    records = [record for record in scored_records(run, split) if run.folder.mask(record.id, kind).exists()]
    return score_records(run, kind, records) if records else None


def score_records(run: Run, kind: str, records: Sequence[Record]) -> SegmentationScores:
    """The masks of one kind of some images against their ground truth."""
    matrix = ConfusionMatrix(len(run.class_names) + 1)
    for record in records:
        prediction = read_prediction(run, record, kind)
        target = read_mask(record, prediction.shape, len(run.class_names))
        matrix.update(torch.from_numpy(prediction), torch.from_numpy(target))
    return matrix.compute()


def read_prediction(run: Run, record: Record, kind: str) -> np.ndarray:
    """A mask that the run wrote: UInt8[H W]."""
    path = run.folder.mask(record.id, kind)
    try:
        with open_picture(path) as image:
            return np.array(image)
    except (OSError, SyntaxError) as error:
        raise RunError(f"{path} is not a whole mask ({error}): delete it and run the same command again") from error
