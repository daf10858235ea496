"""Train a localization method, and keep its last and its best weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from advcam.classify.methods import save_method
from advcam.classify.train import origin_of
from advcam.classify.wsol.build import build_method
from advcam.classify.wsol.method import LocalizationMethod
from advcam.classify.wsol.settings import WSOLSettings
from advcam.classify.wsol.task import BoxMeasure, WSOLTask
from advcam.data.record import ImageSet
from advcam.models.batch_norm import freeze_batch_norm
from advcam.models.settings import BackboneSettings
from advcam.training import FitEvent, FitResult, fit
from advcam.training.machine import seeded
from advcam.training.state import FitState, load_best
from advcam.training.trainer import STATE_NAME

LAST, BEST = "last", "best"


@dataclass(frozen=True)
class WSOLTraining:
    """A finished training.

    ``kept``: whose weights are the folder's classifier, "last" or "best"; those of the other are in the folder of its
    name. ``scores``: of the kept weights on the validation images, in percent, with ``update``; empty without.
    """

    result: FitResult
    kept: Literal["last", "best"]
    scores: dict[str, float]


def train_method(
    backbone: BackboneSettings,
    train: ImageSet,
    val: ImageSet | None,
    settings: WSOLSettings,
    folder: Path,
    *,
    measure: BoxMeasure | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    devices: int = 1,
    on_event: Callable[[FitEvent], None] | None = None,
) -> WSOLTraining:
    """Train a classifier for localization as the WSOL benchmark does; a stopped training goes on.

    The last and the best weights are both kept, the best by the mean box accuracy on ``val`` (by top-1 accuracy where
    it has no boxes). The benchmark tests the last ones, ``settings.keep``.

    Args:
        backbone: the network and the weights it starts from.
        train, val: images with one class each, of the same classes; ``val`` with boxes where there are some.
        measure: of the boxes of ``val``; None measures the classes alone.
        folder: receives the classifier, ``last`` and ``best`` (see ``WSOLTraining``), the logs and the state.
        device, devices, on_event: as for ``advcam.training.fit``.
    """
    if settings.keep == "best" and val is None:
        raise settings.wrong("keep", 'there are no validation images: give some, or take "last", or "auto" for either')
    with seeded(settings.seed):
        network = build_method(backbone, len(train.class_names), settings)
    if settings.freeze_batch_norm:
        freeze_batch_norm(network)
    # Both are kept whichever is asked for.
    keeping = replace(settings, keep="last" if val is None else "best")
    task = WSOLTask(network, train, val, keeping, measure)
    result = fit(
        task, folder, origin=origin_of(backbone, train, val), device=device, devices=devices, on_event=on_event
    )
    method = cast(LocalizationMethod, network)

    def save(path: Path) -> None:
        save_method(path, method, settings.method, backbone, train.class_names)

    if val is None:
        save(folder)
        return WSOLTraining(result, "last", {})
    save(folder / BEST)
    assert result.kept is not None
    network.load_state_dict(FitState.load(folder / STATE_NAME).network)
    save(folder / LAST)
    if settings.keep == "last":
        save(folder)
        return WSOLTraining(result, "last", result.validations[-1])
    network.load_state_dict(load_best(folder / STATE_NAME, result.kept))
    save(folder)
    return WSOLTraining(result, "best", result.kept)
