"""Which background threshold a run uses, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from advcam.attribute.result import LocalizationMaps
from advcam.errors import DataError
from advcam.evaluate.result import ThresholdSource
from advcam.pipeline.run import Run
from advcam.pipeline.scoring import sweep_split
from advcam.refine.threshold import choose_threshold


@dataclass(frozen=True)
class ChosenThreshold:
    """A threshold, in units of maps normalised to [0, 1], and how it was chosen."""

    value: float
    method: str
    """ "fixed", "maps" or "sweep", as in ``ThresholdSource``."""
    split: str | None = None
    images: int | None = None

    def source(self) -> ThresholdSource:
        if self.method == "fixed":
            return ThresholdSource.fixed()
        assert self.split is not None
        assert self.images is not None
        return (ThresholdSource.maps if self.method == "maps" else ThresholdSource.sweep)(self.split, self.images)


def choose(run: Run, kind: str) -> ChosenThreshold:
    """The threshold of the seed of one kind of maps, as ``seed.threshold`` asks.

    Raises:
        DataError: "swept" without ground truth.
    """
    asked = run.config.seed.threshold
    if asked == "auto":
        choice = choose_threshold(
            torch.from_numpy(LocalizationMaps.load(run.folder.maps(record.id, kind)).maps).float()
            for record in run.wanted
            if run.folder.maps(record.id, kind).exists()
        )
        return ChosenThreshold(choice.threshold, "maps", " + ".join(run.mapped_sets), choice.image_count)
    if asked == "swept":
        found = sweep_split(run, kind, run.tune_name)
        if found is None:
            raise DataError(
                f"seed.threshold is swept, but {run.config.data} has no masks for {run.tune_name}: "
                "take seed.threshold auto, or a number"
            )
        return ChosenThreshold(found.best_threshold, "sweep", run.tune_name, found.image_count)
    return ChosenThreshold(float(asked), "fixed")
