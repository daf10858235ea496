"""What ``metrics.json`` must hold for whoever reads it back: a schema, checked before anything is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from advcam.errors import RunError
from advcam.io.files import read_json

FIX = "run `advcam evaluate` with the same --out, which writes it anew"


class Figures(msgspec.Struct):
    """Scores of masks."""

    masks: str
    split: str
    images: int
    threshold: float | None
    threshold_source: str | None
    threshold_method: str | None
    threshold_chosen_on_this_split: bool
    miou: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    noise: float | None
    iou: dict[str, float | None]
    weights_source: str | None = None
    weights_chosen_on_this_split: bool = False
    set_aside: float = 0.0


class SweepCurve(msgspec.Struct):
    """Scores of seeds over the threshold."""

    masks: str
    split: str
    images: int
    thresholds: list[float]
    miou: list[float | None]
    best_threshold: float
    best_miou: float | None
    best_is_at_edge: bool

    def __post_init__(self) -> None:
        if len(self.thresholds) != len(self.miou):
            raise ValueError("a curve has another number of thresholds than of values")


class Tuned(msgspec.Struct):
    """Scores of boxes at thresholds that another split chose."""

    split: str
    mean: float


class BoxCurves(msgspec.Struct):
    """Accuracy of boxes over the threshold."""

    tau: list[float]
    box_acc: dict[str, list[float]]


class BoxFigures(msgspec.Struct):
    """Scores of score maps by the benchmark."""

    masks: str
    split: str
    images: int
    max_box_acc_v2: dict[str, float]
    max_box_acc_v2_mean: float
    max_box_acc_v1: float
    top1_cls: float
    top1_loc: float
    thresholds: dict[str, float]
    tuned: Tuned
    curves: BoxCurves

    def __post_init__(self) -> None:
        tau, levels = len(self.curves.tau), set(self.max_box_acc_v2)
        if not levels or not levels <= set(self.thresholds) & set(self.curves.box_acc):
            raise ValueError("the levels of intersection over union differ")
        if any(len(values) != tau for values in self.curves.box_acc.values()):
            raise ValueError("a curve has another number of thresholds than of values")


class InstanceFigures(msgspec.Struct):
    """Average precision of objects."""

    split: str
    images: int
    iou: float
    ap: float | None


class Metrics(msgspec.Struct):
    """All of it that is read."""

    results: list[Figures] = []
    curves: list[SweepCurve] = []
    wsol: list[BoxFigures] = []
    instances: list[InstanceFigures] = []
    limit: int | None = None


def read_metrics(path: Path) -> dict[str, Any] | None:
    """The content of ``metrics.json``; None where there is none."""
    if not path.exists():
        return None
    found = read_json(path, dict[str, Any], FIX)
    try:
        msgspec.convert(found, Metrics)
    except (msgspec.ValidationError, RecursionError) as error:
        raise RunError(f"{path} is not what `advcam evaluate` writes ({error}): {FIX}") from error
    return found
