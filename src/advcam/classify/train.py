"""Train a classifier on class labels, or go on where a training was stopped."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import nn

from advcam.classify.methods import save_method
from advcam.classify.quality import ClassifierJudgement, judge_classifier
from advcam.classify.seam import SEAM
from advcam.classify.settings import ClassifySettings, SubCategorySettings
from advcam.classify.sub_categories import SubCategories, sub_categories
from advcam.classify.targets import prevalence, untrained_classes
from advcam.classify.task import CLASS_PREFIX, MEAN, ClassifierTask
from advcam.classify.validation import pooled_features
from advcam.classify.wsol.method import CAM
from advcam.data.record import ImageSet
from advcam.models.checkpoint import load_classifier
from advcam.models.classifier import Classifier, build_classifier
from advcam.models.settings import BackboneSettings
from advcam.training.machine import accelerator_and_precision, seeded
from advcam.training.progress import FitEvent
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
    rounds: SubCategorySettings | None = None,
) -> TrainingResult:
    """Train a classifier on class labels as IRN does, whose classifier the paper climbs on (section 5.1), or by the
    method that the settings name.

    The same call with the same folder goes on where the last one was stopped, be it by Ctrl-C or by a power cut, and
    ends with the weights of an undisturbed training: on a CPU to the last bit. After the end it only reads the result.

    Args:
        backbone: the network and the weights it starts from; the head is new where these have other classes.
        train, val: labelled images, with the same classes. Without ``val`` the classifier is not judged.
        folder: made if it is not there; see ``TrainingResult``.
        device, devices, on_event: see ``advcam.training.fit``.
        rounds: of ``settings.method`` sub_categories; those before the last are kept in ``rounds``.

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
    begin = partial(started, backbone, len(train.class_names), settings.seed)
    more: dict[str, Any] = {"device": device, "devices": devices, "on_event": on_event}
    origin = origin_of(backbone, train, val)
    if settings.method == "sub_categories":
        rounds = rounds or SubCategorySettings()
        network, result = train_rounds(begin, train, val, settings, rounds, folder, origin, **more)
    else:
        network = begin(SEAM if settings.method == "seam" else None)
        result = fit(ClassifierTask(network, train, val, settings), folder, origin=origin, **more)
    method: Any = CAM(network) if isinstance(network, Classifier) else network
    method.classifier.loss = settings.loss
    save_method(folder, method, settings.method, backbone, train.class_names)
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


def started(
    backbone: BackboneSettings, num_classes: int, seed: int, method: Callable[[Classifier], nn.Module] | None = None
) -> nn.Module:
    """A classifier as it is before its training, or a method on it."""
    with seeded(seed):
        classifier = build_classifier(backbone, num_classes)
        return classifier if method is None else method(classifier)


def train_rounds(
    begin: Callable[..., nn.Module],
    train: ImageSet,
    val: ImageSet | None,
    settings: ClassifySettings,
    rounds: SubCategorySettings,
    folder: Path,
    origin: dict[str, str],
    **more: Any,
) -> tuple[nn.Module, FitResult]:
    """SC-CAM: cluster the features of each class, learn the clusters, and again with the features learnt so.

    Args:
        begin: makes the network of a round as it is before its training, given the method.
        train, val, settings, folder, origin, more: as for ``fit``.
        rounds: how many, and how.

    Returns:
        The network of the last round and its training.
    """
    known: Any
    if rounds.features is not None:
        known, _ = load_classifier(rounds.features, train.class_names)
    else:
        known = begin()
        plain = replace(settings, method="plain")
        fit(ClassifierTask(known, train, val, plain), folder / "rounds" / "0", origin=origin, **more)
    for number, part in enumerate(rounds.rounds, start=1):
        accelerator, _ = accelerator_and_precision(more["device"], more["devices"], settings.precision)
        known = known.to("cuda" if accelerator == "gpu" else "cpu").eval()
        features = pooled_features(known, train, settings).numpy()
        labels = [record.classes for record in train.records]
        subs = sub_categories(features, labels, rounds.clusters, settings.seed)
        network = begin(partial(SubCategories, clusters=rounds.clusters, weight=rounds.weight))
        updates = None if settings.updates is None else max(1, round(part * settings.updates))
        stopped = replace(settings, epochs=max(1, round(part * settings.epochs)), updates=updates)
        task = ClassifierTask(network, train, val, stopped, subs, part)
        found = origin | {"round": f"{number}, {part} of it", "sub-categories": digest_of(subs)}
        last = number == len(rounds.rounds)
        result = fit(task, folder if last else folder / "rounds" / str(number), origin=found, **more)
        known = task.classifier
    return network, result


def digest_of(values: Sequence[object]) -> str:
    """What tells one list from another."""
    return hashlib.sha256("\n".join(map(str, values)).encode()).hexdigest()[:8]


def origin_of(backbone: BackboneSettings, train: ImageSet, val: ImageSet | None) -> dict[str, str]:
    """What a training's numbers depend on beside its settings, in words: network, classes and labelled images."""
    origin = {f"backbone.{name}": str(value) for name, value in asdict(backbone).items()}
    origin["classes"] = ", ".join(train.class_names)
    for name, image_set in (("training images", train), ("validation images", val)):
        records = () if image_set is None else image_set.records
        origin[name] = f"{len(records)} ({digest_of([f'{record.id} {record.classes}' for record in records])})"
    return origin
