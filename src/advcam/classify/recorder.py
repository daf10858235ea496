"""Keeps the history of a training, and its state on disk, while Lightning runs it."""

from __future__ import annotations

import csv
import io
import math
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from advcam.classify.module import ClassifierModule
from advcam.classify.progress import TrainingEvent
from advcam.classify.state import EpochScores, TrainingState, write_whole
from advcam.errors import SettingsError


class TrainingRecorder(pl.Callback):
    """Saves the state every ``checkpoint_seconds`` and after each epoch, and hands out events.

    Lightning's own checkpoints are not used: they cannot go on in the middle of an epoch with the images that are
    left. Here a training that goes on is a new one that begins at a later update: the order of the images, their
    augmentation, the learning rate and the random layers are functions of the seed and the update, and the rest is
    in the state.

    Args:
        state: where the training stands; changed while it runs.
        path: of the state on disk; the logs are written beside it.
        class_names: of the columns of the validation log.
        save_epoch: stores the classifier after an epoch, which is counted from 1.
        on_event: is told of each update and each validation.

    Raises:
        SettingsError: the loss is no longer a finite number.
    """

    def __init__(
        self,
        state: TrainingState,
        path: Path,
        class_names: tuple[str, ...],
        save_epoch: Callable[[int, nn.Module], None],
        on_event: Callable[[TrainingEvent], None] | None = None,
    ) -> None:
        self.state, self.path, self.class_names = state, path, class_names
        self.save_epoch, self.on_event = save_epoch, on_event
        self._passes: list[Tensor] = []
        # Whether the weights are those after ``state.updates``, with every validation up to there.
        self._whole = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = time.monotonic() - self.state.seconds
        self._saved = time.monotonic()
        if self.state.optimizer:
            trainer.optimizers[0].load_state_dict(self.state.optimizer)
        if self.state.precision:
            trainer.precision_plugin.load_state_dict(self.state.precision)
        self._whole = True

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        self._whole = False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, ClassifierModule)
        assert pl_module.loss is not None
        self._passes.append(pl_module.loss)
        if len(self._passes) < pl_module.settings.accumulate:
            return
        # The mean over the processes, each of which saw its share of the batch.
        loss = float(trainer.strategy.reduce(torch.stack(self._passes).mean(), reduce_op="mean"))
        if not math.isfinite(loss):
            raise SettingsError(
                f"the training diverges: with lr {pl_module.settings.lr} the loss of update {self.state.updates + 1} "
                f'is {loss}; lower lr, or take optimizer "adamw" with lr 0.0003 and warmup 0.1'
            )
        self.state.updates += 1
        self.state.losses.append(loss)
        self.state.rates.append(pl_module.learning_rate)
        self._passes = []
        # The last update of an epoch is saved after its validation, which a training that goes on must not miss.
        self._whole = self.state.updates % pl_module.updates_per_epoch != 0
        self._tell(trainer, pl_module, validated=False)
        if self._whole and time.monotonic() - self._saved >= pl_module.settings.checkpoint_seconds:
            self._save(trainer, pl_module)
        # Lightning would go on to the end of the epoch.
        if trainer.received_sigterm:
            raise SystemExit(128 + signal.SIGTERM)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, ClassifierModule)
        epoch = self.state.updates // pl_module.updates_per_epoch
        if pl_module.per_class_ap is not None:
            average = pl_module.per_class_ap
            per_class = dict(zip(self.class_names, average.tolist(), strict=True))
            self.state.validations.append(EpochScores(epoch, self.state.updates, float(average.nanmean()), per_class))
        if trainer.is_global_zero:
            self.save_epoch(epoch, pl_module.classifier)
        self._save(trainer, pl_module)
        self._whole = True
        self._tell(trainer, pl_module, validated=True)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        assert isinstance(pl_module, ClassifierModule)
        # A pass that is broken off changes no weight, but may have moved the statistics of batch norm.
        exact = self._whole and pl_module.settings.freeze_batch_norm
        if isinstance(exception, KeyboardInterrupt | SystemExit) and exact and self.state.updates:
            self._save(trainer, pl_module)

    def _save(self, trainer: pl.Trainer, pl_module: ClassifierModule) -> None:
        self._saved = time.monotonic()
        if not trainer.is_global_zero:
            return
        self.state.seconds = self._saved - self._started
        self.state.model = pl_module.classifier.state_dict()
        self.state.optimizer = trainer.optimizers[0].state_dict()
        self.state.precision = trainer.precision_plugin.state_dict()
        self.state.save(self.path)
        write_logs(self.path.parent, self.state, pl_module.updates_per_epoch, self.class_names)

    def _tell(self, trainer: pl.Trainer, pl_module: ClassifierModule, validated: bool) -> None:
        if self.on_event is None or not trainer.is_global_zero:
            return
        epochs, updates = pl_module.settings.epochs, self.state.updates
        scores = self.state.validations[-1] if self.state.validations else None
        self.on_event(
            TrainingEvent(
                epoch=(updates - 1) // pl_module.updates_per_epoch + 1,
                epochs=epochs,
                update=updates,
                updates=pl_module.total_updates,
                loss=self.state.losses[-1],
                validated=validated,
                val_map=scores.val_map if validated and scores is not None else None,
            )
        )


def write_logs(folder: Path, state: TrainingState, updates_per_epoch: int, class_names: tuple[str, ...]) -> None:
    """``log.csv`` has a row per update, ``validation.csv`` one per epoch, with the average precision of each class."""
    rows: list[Mapping[str, object]] = [
        {"update": update, "epoch": (update - 1) // updates_per_epoch + 1, "lr": f"{rate:.6g}", "loss": f"{loss:.6g}"}
        for update, (rate, loss) in enumerate(zip(state.rates, state.losses, strict=True), start=1)
    ]
    _write_csv(folder / "log.csv", ("update", "epoch", "lr", "loss"), rows)
    if state.validations:
        rows = [
            {"epoch": scores.epoch, "update": scores.update, "val_map": f"{scores.val_map:.6g}"}
            | {name: f"{value:.6g}" for name, value in scores.per_class_ap.items()}
            for scores in state.validations
        ]
        _write_csv(folder / "validation.csv", ("epoch", "update", "val_map", *class_names), rows)


def _write_csv(path: Path, columns: tuple[str, ...], rows: list[Mapping[str, object]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode())
