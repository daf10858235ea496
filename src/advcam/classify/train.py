"""Train a classifier on class labels, or go on where a training was stopped."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from advcam.classify.quality import ClassifierJudgement, judge_classifier
from advcam.classify.settings import ClassifySettings
from advcam.classify.targets import prevalence, untrained_classes
from advcam.classify.task import CLASS_PREFIX, MEAN, ClassifierTask
from advcam.data.record import ImageSet
from advcam.models.checkpoint import save_classifier
from advcam.models.classifier import build_classifier
from advcam.models.settings import BackboneSettings
from advcam.training.machine import accelerator_and_precision
from advcam.training.progress import FitEvent
from advcam.training.seeding import seeded
from advcam.training.trainer import FitResult, fit

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """A finished training.

    Attributes:
        folder: holds the classifier (``load_classifier(folder)``), ``log.csv`` and ``validation.csv``.
        fit: updates, seconds, losses and validations of the training.
        epoch: whose weights were kept, from 1.
        val_map: mean average precision of these weights over the classes with validation images, in [0, 1], or None.
        per_class_ap: average precision by class, NaN for a class without validation images.
        prevalence: by class the fraction of the validation images that have it.
        untrained: classes that no training image has.
        judgement: whether the localization maps of this classifier mean anything.
    """

    folder: Path
    fit: FitResult
    epoch: int
    val_map: float | None
    per_class_ap: dict[str, float]
    prevalence: dict[str, float]
    untrained: tuple[str, ...]
    judgement: ClassifierJudgement


def train_classifier(
    backbone: BackboneSettings,
    train: ImageSet,
    val: ImageSet | None,
    settings: ClassifySettings,
    folder: Path,
    *,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    devices: int = 1,
    on_event: Callable[[FitEvent], None] | None = None,
) -> TrainingResult:
    """Train a classifier on class labels as IRN does, whose classifier the paper climbs on (section 5.1).

    The same call with the same folder goes on where the last one was stopped, be it by Ctrl-C or by a power cut, and
    ends with the weights of an undisturbed training: on a CPU to the last bit. After the end it only reads the result.

    Args:
        backbone: the network and the weights it starts from; the head is new where these have other classes.
        train, val: labelled images, with the same classes. Without ``val`` the classifier is not judged.
        settings: of the training.
        folder: made if it is not there; see ``TrainingResult``.
        device, devices, on_event: see ``advcam.training.fit``.

    Raises:
        DataError: an image that cannot be read, or labels that do not go with the loss; see ``check_labels``.
        SettingsError: settings that do not fit the data or the machine, or a loss that is no longer a number.
        ModelError: the network cannot be built.
        RunError: the folder cannot be written to, or holds a training with other settings or data.
        KeyboardInterrupt: Ctrl-C, after the state of the training was saved.
    """
    # Before weights are fetched for a machine that is not there.
    accelerator_and_precision(device, devices, settings.precision)
    if settings.keep == "best" and val is None:
        raise settings.wrong("keep", 'there are no validation images: give some, or take "last", or "auto" for either')
    for name in untrained_classes(train):
        _log.warning("no training image has the class %s, so its maps will mean nothing", name)
    with seeded(settings.seed):
        classifier = build_classifier(backbone, len(train.class_names))
    task = ClassifierTask(classifier, train, val, settings)
    result = fit(
        task, folder, origin=origin_of(backbone, train, val), device=device, devices=devices, on_event=on_event
    )
    classifier.loss = settings.loss
    save_classifier(folder, classifier, backbone, train.class_names)
    kept, shares = result.kept or {}, {} if val is None else prevalence(val)
    update = round(kept.get("update", result.updates))
    val_map = kept.get(MEAN)
    per_class = {
        name.removeprefix(CLASS_PREFIX): value for name, value in kept.items() if name.startswith(CLASS_PREFIX)
    }
    return TrainingResult(
        folder=folder,
        fit=result,
        epoch=math.ceil(update / (len(train) // settings.batch_size)),
        val_map=val_map,
        per_class_ap=per_class,
        prevalence=shares,
        untrained=untrained_classes(train),
        judgement=judge_classifier(val_map, per_class, shares),
    )


def origin_of(backbone: BackboneSettings, train: ImageSet, val: ImageSet | None) -> dict[str, str]:
    """What a training's numbers depend on beside its settings, in words: network, classes and labelled images."""
    origin = {f"backbone.{name}": str(value) for name, value in asdict(backbone).items()}
    origin["classes"] = ", ".join(train.class_names)
    for name, image_set in (("training images", train), ("validation images", val)):
        records = () if image_set is None else image_set.records
        digest = hashlib.sha256("\n".join(f"{record.id} {record.classes}" for record in records).encode())
        origin[name] = f"{len(records)} ({digest.hexdigest()[:8]})"
    return origin
