"""Train a classifier on class labels, or go on where a training was stopped."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import lightning.pytorch as pl
import torch
from torch import nn

from advcam.classify.data import ClassificationData, prevalence, untrained_classes
from advcam.classify.freezing import frozen_parameters
from advcam.classify.module import ClassifierModule
from advcam.classify.progress import TrainingEvent
from advcam.classify.quality import ClassifierJudgement, judge_classifier
from advcam.classify.recorder import TrainingRecorder
from advcam.classify.settings import ClassifySettings
from advcam.classify.state import EpochScores, TrainingState, check_origin, origin_of
from advcam.data.record import ImageSet
from advcam.errors import RunError, SettingsError
from advcam.models.checkpoint import load_classifier, save_classifier
from advcam.models.classifier import Classifier, build_classifier
from advcam.models.settings import BackboneSettings

Device = Literal["auto", "cpu", "cuda"]
STATE_NAME = "training.pt"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """A finished training.

    Attributes:
        folder: holds the classifier (``load_classifier(folder)``), ``log.csv`` and ``validation.csv``; the
            classifiers after each epoch are in ``folder / "epochs"``.
        updates: of the whole training.
        seconds: they took, summed over all sittings.
        losses: of each update.
        validations: one per epoch; empty without validation images.
        epoch: whose weights were kept, from 1.
        val_map: mean average precision of these weights over the classes with validation images, in [0, 1], or None.
        per_class_ap: average precision by class, NaN for a class without validation images.
        prevalence: by class the fraction of the validation images that have it.
        untrained: classes that no training image has.
        judgement: whether the localization maps of this classifier mean anything.
    """

    folder: Path
    updates: int
    seconds: float
    losses: tuple[float, ...]
    validations: tuple[EpochScores, ...]
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
    device: Device = "auto",
    devices: int = 1,
    on_event: Callable[[TrainingEvent], None] | None = None,
) -> TrainingResult:
    """Train a classifier on class labels as IRN does, whose classifier the paper climbs on (section 5.1).

    The same call with the same folder goes on where the last one was stopped, be it by Ctrl-C or by a power cut, and
    ends with the weights of an undisturbed training: on a CPU to the last bit. After the end it only reads the result.

    Args:
        backbone: the network and the weights it starts from; the head is new where these have other classes.
        train, val: labelled images, with the same classes. Without ``val`` the classifier is not judged.
        settings: of the training.
        folder: made if it is not there; see ``TrainingResult``.
        device: "auto" is a GPU where there is one.
        devices: GPUs (or processes on the CPU) to share each batch between; with more than one, ``on_event`` is called
            in another process and must be picklable.
        on_event: is told of each update and each validation; see ``TrainingProgress``.

    Raises:
        DataError: an image that cannot be read, or labels that do not go with the loss; see ``ClassificationData``.
        SettingsError: settings that do not fit the data or the machine, or a loss that is no longer a number.
        ModelError: the network cannot be built.
        RunError: the folder cannot be written to, or holds a training with other settings or data.
        KeyboardInterrupt: Ctrl-C, after the state of the training was saved.
    """
    accelerator, precision = _machine(device, devices, settings)
    if settings.keep == "best" and val is None:
        raise SettingsError('keep "best" needs validation images: give some, or keep the "last" weights')
    path = Path(folder) / STATE_NAME
    origin = origin_of(settings, train, val) | {
        f"backbone.{name}": str(value) for name, value in asdict(backbone).items()
    }
    state = TrainingState(origin)
    if path.exists():
        state = TrainingState.load(path)
        check_origin(path, state.origin, origin)
    for name in untrained_classes(train):
        _log.warning("no training image has the class %s, so its maps will mean nothing", name)

    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        classifier = build_classifier(backbone, len(train.class_names))
        data = ClassificationData(train, val, classifier.mean, classifier.std, settings, state.updates)
        if state.updates < settings.epochs * data.updates_per_epoch:
            _make_folder(path.parent)
            if state.model:
                classifier.load_state_dict(state.model)
            module = ClassifierModule(
                # The layout that convolutions are fastest in, on CPUs and on GPUs in half precision.
                classifier.to(memory_format=torch.channels_last),
                classifier.parameter_groups()["head"],
                frozen_parameters(classifier.backbone, settings.freeze),
                settings,
                data.updates_per_epoch,
                state.updates,
            )
            save_epoch = _EpochFolders(path.parent, backbone, train.class_names)
            recorder = TrainingRecorder(state, path, train.class_names, save_epoch, on_event)
            with _quiet_lightning(), _interrupts_as_such():
                trainer = pl.Trainer(
                    accelerator=accelerator,
                    devices=devices,
                    strategy="ddp_spawn" if devices > 1 else "auto",
                    precision=precision,  # type: ignore[arg-type]
                    max_epochs=settings.epochs - state.updates // data.updates_per_epoch,
                    accumulate_grad_batches=settings.accumulate,
                    gradient_clip_val=settings.gradient_clip,
                    limit_val_batches=0 if val is None else None,
                    # The first epoch is shorter when a training goes on, so each has a loader of its own.
                    reload_dataloaders_every_n_epochs=1,
                    num_sanity_val_steps=0,
                    use_distributed_sampler=False,
                    deterministic="warn",
                    callbacks=[recorder],
                    logger=False,
                    enable_checkpointing=False,
                    enable_progress_bar=False,
                    enable_model_summary=False,
                    default_root_dir=path.parent,
                )
                trainer.fit(module, datamodule=data)
            state = TrainingState.load(path)
    return _finish(path.parent, state, backbone, train, val, settings)


@dataclass(frozen=True)
class _EpochFolders:
    """Stores the classifier of an epoch as a classifier of its own. A class, so that it can go to another process."""

    folder: Path
    backbone: BackboneSettings
    class_names: tuple[str, ...]

    def __call__(self, epoch: int, classifier: nn.Module) -> None:
        assert isinstance(classifier, Classifier)
        save_classifier(self.of(epoch), classifier, self.backbone, self.class_names)

    def of(self, epoch: int) -> Path:
        return self.folder / "epochs" / f"{epoch:02d}"


def _finish(
    folder: Path,
    state: TrainingState,
    backbone: BackboneSettings,
    train: ImageSet,
    val: ImageSet | None,
    settings: ClassifySettings,
) -> TrainingResult:
    """Choose the weights and store them as the classifier of the folder."""
    epoch = settings.epochs
    if settings.keep == "best" and state.validations:
        epoch = max(state.validations, key=lambda scores: scores.val_map).epoch
    classifier, _ = load_classifier(_EpochFolders(folder, backbone, train.class_names).of(epoch), train.class_names)
    save_classifier(folder, classifier, backbone, train.class_names)
    kept = next((scores for scores in state.validations if scores.epoch == epoch), None)
    shares = {} if val is None else prevalence(val)
    return TrainingResult(
        folder=folder,
        updates=state.updates,
        seconds=state.seconds,
        losses=tuple(state.losses),
        validations=tuple(state.validations),
        epoch=epoch,
        val_map=None if kept is None else kept.val_map,
        per_class_ap={} if kept is None else kept.per_class_ap,
        prevalence=shares,
        untrained=untrained_classes(train),
        judgement=judge_classifier(
            None if kept is None else kept.val_map, {} if kept is None else kept.per_class_ap, shares
        ),
    )


def _machine(device: Device, devices: int, settings: ClassifySettings) -> tuple[str, str]:
    """Lightning's words for the accelerator and the precision."""
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise SettingsError("device is cuda, but there is no CUDA device here: use cpu or auto")
    accelerator = "gpu" if has_gpu and device != "cpu" else "cpu"
    if accelerator == "gpu" and devices > torch.cuda.device_count():
        raise SettingsError(
            f"devices is {devices}, but there are only {torch.cuda.device_count()} GPUs here: use fewer"
        )
    precision: str = settings.precision
    if precision == "auto":
        half = "bf16" if accelerator == "gpu" and torch.cuda.get_device_capability()[0] >= 8 else "16"
        precision = half if accelerator == "gpu" else "32"
    if precision == "16" and accelerator == "cpu":
        raise SettingsError('precision "16" needs a GPU: use "32", or "bf16" on a CPU that computes in it')
    return accelerator, {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[precision]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: the folder cannot be made ({error.strerror}): choose another one") from error


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning's remarks on hardware, workers and its own products do not reach the user."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    deterministic, only_warn = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.|torch\.")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        torch.use_deterministic_algorithms(deterministic, warn_only=only_warn)


@contextmanager
def _interrupts_as_such() -> Iterator[None]:
    """Ctrl-C leaves as KeyboardInterrupt: Lightning would exit the program, and deaf to further ones."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)
