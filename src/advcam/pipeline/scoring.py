"""Ground truth against what a run made: sweeps over seeds, scores of masks, the choice of a threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from advcam.attribute.grid import full_size
from advcam.attribute.result import LocalizationMaps
from advcam.data.images import read_image
from advcam.data.masks import read_mask
from advcam.data.record import Record
from advcam.errors import DataError, RunError
from advcam.evaluate import ConfusionMatrix, SegmentationScores, ThresholdSource, ThresholdSweep, sweep
from advcam.io.keys import key_of
from advcam.pipeline.run import Run


@dataclass(frozen=True)
class ChosenThreshold:
    """A threshold, in units of maps normalised to [0, 1], and how it was chosen."""

    value: float
    method: str
    """ "fixed", "maps" or "sweep", as in ``ThresholdSource``."""
    split: str | None = None
    images: int | None = None

    @classmethod
    def of(cls, kept: dict[str, Any] | None) -> ChosenThreshold | None:
        """As it is kept in ``run.yaml``."""
        return None if kept is None else cls(**kept)

    def source(self) -> ThresholdSource:
        if self.method == "fixed":
            return ThresholdSource.fixed()
        assert self.split is not None
        assert self.images is not None
        return (ThresholdSource.maps if self.method == "maps" else ThresholdSource.sweep)(self.split, self.images)


# The maps that a threshold is for, of an image with stored maps.
MapsOf = Callable[[Record, LocalizationMaps], Tensor]


def choose(run: Run, kind: str, maps_of: MapsOf | None = None) -> ChosenThreshold:
    """The threshold of the seed of one kind of maps, as ``seed.threshold`` asks.

    Args:
        maps_of: where the threshold is for maps that were refined; as they are stored unless told.

    Raises:
        DataError: "swept" without ground truth.
    """
    asked = run.config.seed.threshold
    if asked in ("auto", "regions", "stability"):
        value, count = without_masks(run, kind, str(asked), maps_of)
        return ChosenThreshold(value, "maps", " + ".join(run.mapped_sets), count)
    if asked == "swept":
        found = sweep_split(run, kind, run.tune_name, maps_of=maps_of)
        if found is None:
            raise no_truth(run, "seed.threshold", "take seed.threshold auto, or a number")
        return ChosenThreshold(found.best_threshold, "sweep", run.tune_name, found.image_count)
    return ChosenThreshold(float(asked), "fixed")


def no_truth(run: Run, setting: str, instead: str) -> DataError:
    """A setting is swept, and there is nothing to sweep on."""
    return DataError(f"{setting} is swept, but {run.config.data} has no masks for {run.tune_name}: {instead}")


def without_masks(run: Run, kind: str, rule: str, maps_of: MapsOf | None) -> tuple[float, int]:
    """A threshold by one of the rules that read no ground truth, and the number of images that it was chosen on."""
    from advcam.refine.agreement import agreements, best_threshold, binned, stabilities
    from advcam.refine.superpixels import superpixels
    from advcam.refine.threshold import choose_threshold

    def loaded() -> Iterator[tuple[Record, Tensor]]:
        for record in run.mapped(kind):
            result = run.read_maps(kind, record)
            yield record, torch.from_numpy(result.maps).float() if maps_of is None else maps_of(record, result)

    if rule == "auto":
        choice = choose_threshold(maps for _, maps in loaded())
        return choice.threshold, choice.image_count
    scores = []
    for record, maps in loaded():
        if not maps.any():
            continue
        bins = binned(maps)
        if rule == "stability":
            scores.append(stabilities(bins))
        else:
            size = (maps.shape[2], maps.shape[1])
            image = np.asarray(Image.fromarray(read_image(record.image)).resize(size, Image.Resampling.BOX))
            scores.append(agreements(bins, superpixels(image)))
    if not scores:
        raise DataError("no threshold can be chosen, because no image has a localization map with values above 0")
    return best_threshold(torch.stack(scores)), len(scores)


def scored_records(run: Run, split: str) -> tuple[Record, ...]:
    """The images of a split that have ground truth; empty where none has."""
    return tuple(record for record in run.limited(run.mapped_sets[split]).records if record.mask is not None)


def sweep_split(
    run: Run,
    kind: str,
    split: str,
    thresholds: tuple[float, ...] | None = None,
    maps_of: MapsOf | None = None,
) -> ThresholdSweep | None:
    """The seeds of one kind of maps at all thresholds (the sweep's unless told); None without ground truth."""
    records = [record for record in scored_records(run, split) if run.has_maps(kind, record)]
    if not records:
        return None

    def images() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for record in records:
            result = run.read_maps(kind, record)
            target = read_mask(record, result.image_size, len(run.class_names))
            if maps_of is None:
                maps = full_size(torch.from_numpy(result.maps).float(), result.image_size)
            else:
                refined = maps_of(record, result)[None]
                maps = interpolate(refined, result.image_size, mode="bilinear", align_corners=False)[0]
            yield maps, torch.from_numpy(result.classes), torch.from_numpy(target)

    return sweep(images(), len(run.class_names) + 1, thresholds or run.config.sweep.thresholds)


def mask_contents(run: Run, records: Iterable[Record]) -> dict[str, str]:
    """The content of the masks of some images."""
    files, found = {}, {}
    for record in records:
        if isinstance(record.mask, Path):
            files[record.id] = f"mask:{record.mask}", record.mask
        else:
            found[record.id] = key_of(str(record.mask))
    contents = run.fingerprints.of(dict(files.values()))
    return found | {image: contents[name] for image, (name, _) in files.items()}


def score_records(run: Run, files: Sequence[tuple[Record, Path]]) -> SegmentationScores | None:
    """Masks of some images against their ground truth; None where there is no image."""
    if not files:
        return None
    matrix = ConfusionMatrix(len(run.class_names) + 1)
    for record, path in files:
        prediction = read_prediction(run, record, path)
        target = read_mask(record, prediction.shape, len(run.class_names))
        matrix.update(torch.from_numpy(prediction), torch.from_numpy(target))
    return matrix.compute()


def read_prediction(run: Run, record: Record, path: Path) -> UInt8[np.ndarray, "H W"]:
    """A mask that the run wrote; RunError unless it is whole, of the image's size, and of classes that there are."""
    try:
        return read_mask(replace(record, mask=path), num_classes=len(run.class_names))
    except DataError as error:
        reason = error.message.partition(": ")[0]
        raise RunError(f"{path} is not a whole mask ({reason}): delete it and run the same command again") from error
