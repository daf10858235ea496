"""Figures of merit: segmentation scores, threshold sweeps, box accuracy. Ground truth is read here and nowhere else."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Public names and where they live, imported on first use. No name here may also be the name of a file of this
# folder: importing the file would put the module in the function's place.
_HOMES = {
    "BoxAccSettings": "advcam.evaluate.wsol_settings",
    "BoxAccuracy": "advcam.evaluate.boxes",
    "ConfusionMatrix": "advcam.evaluate.confusion",
    "InstanceAP": "advcam.evaluate.instances",
    "InstanceMatcher": "advcam.evaluate.instances",
    "PixelAP": "advcam.evaluate.pixels",
    "ScoreMapSettings": "advcam.evaluate.wsol_settings",
    "SegmentationResult": "advcam.evaluate.result",
    "SegmentationScores": "advcam.evaluate.scores",
    "SweepCounts": "advcam.evaluate.thresholds",
    "SweepSettings": "advcam.evaluate.settings",
    "ThresholdSource": "advcam.evaluate.result",
    "ThresholdSweep": "advcam.evaluate.thresholds",
    "WeightsSource": "advcam.evaluate.result",
    "max_box_acc": "advcam.evaluate.boxes",
    "pxap": "advcam.evaluate.pixels",
    "segmentation": "advcam.evaluate.confusion",
    "sweep": "advcam.evaluate.thresholds",
}

__all__ = [
    "BoxAccSettings",
    "BoxAccuracy",
    "ConfusionMatrix",
    "InstanceAP",
    "InstanceMatcher",
    "PixelAP",
    "ScoreMapSettings",
    "SegmentationResult",
    "SegmentationScores",
    "SweepCounts",
    "SweepSettings",
    "ThresholdSource",
    "ThresholdSweep",
    "WeightsSource",
    "max_box_acc",
    "pxap",
    "segmentation",
    "sweep",
]

if TYPE_CHECKING:
    from advcam.evaluate.boxes import BoxAccuracy, max_box_acc
    from advcam.evaluate.confusion import ConfusionMatrix, segmentation
    from advcam.evaluate.instances import InstanceAP, InstanceMatcher
    from advcam.evaluate.pixels import PixelAP, pxap
    from advcam.evaluate.result import SegmentationResult, ThresholdSource, WeightsSource
    from advcam.evaluate.scores import SegmentationScores
    from advcam.evaluate.settings import SweepSettings
    from advcam.evaluate.thresholds import SweepCounts, ThresholdSweep, sweep
    from advcam.evaluate.wsol_settings import BoxAccSettings, ScoreMapSettings


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'advcam.evaluate' has no attribute {name!r}")
