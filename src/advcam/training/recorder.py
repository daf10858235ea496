"""Keeps the history of a training, its state on disk and its validations, while Lightning runs it."""

from __future__ import annotations

import math
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from advcam.errors import SettingsError
from advcam.training.logs import TrainingLogs
from advcam.training.machine import silence
from advcam.training.module import TaskModule
from advcam.training.progress import FitEvent
from advcam.training.state import FitState, best_weights, forget_others, save_tensors

# Updates between two fetches of the losses from the device: on a GPU each one waits for it.
FETCH_EVERY = {"cpu": 1}
FETCH_EVERY_ELSEWHERE = 10


class Interrupted(BaseException):
    """Ctrl-C or a polite kill, after the update it fell into and the saving of the state.

    Lightning would exit the program at a KeyboardInterrupt; this passes through it.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


class Recorder(pl.Callback):
    """Validates when it is due, saves the state every ``checkpoint_seconds``, hands out events, answers Ctrl-C.

    Lightning's own checkpoints are not used: they cannot go on in the middle of an epoch with the items that are
    left. Here a training that goes on is a new one that begins at a later update: the order of the items, their
    augmentation, the learning rate and the random layers are functions of the seed and the update, and the rest is
    in the state. The state is taken between two updates only, with every validation up to there.

    Args:
        state: where the training stands; changed while it runs.
        path: of the state on disk; logs and pictures are written beside it.
        validate_every: updates between two validations.
        on_event: is told of each update and each validation.

    Raises:
        SettingsError: the loss is no longer a finite number.
    """

    def __init__(
        self, state: FitState, path: Path, validate_every: int, on_event: Callable[[FitEvent], None] | None
    ) -> None:
        self.state, self.path, self.validate_every, self.on_event = state, path, validate_every, on_event
        self.logs = TrainingLogs(path.parent)
        self._passes: list[dict[str, Tensor]] = []
        self._waiting: list[dict[str, Tensor]] = []
        self._signal: int | None = None
        self._handlers: dict[int, Any] = {}

    def __setstate__(self, content: dict[str, Any]) -> None:
        """In another process, to which a training on several devices sends it, Lightning is to be quiet as well."""
        vars(self).update(content)
        silence()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = time.monotonic() - self.state.seconds
        self._saved = time.monotonic()
        device = pl_module.device.type
        self._fetch_every = FETCH_EVERY.get(device, FETCH_EVERY_ELSEWHERE)
        if self.state.optimizer:
            trainer.optimizers[0].load_state_dict(self.state.optimizer)
        if self.state.precision:
            trainer.precision_plugin.load_state_dict(self.state.precision)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._note_signal)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, TaskModule)
        self._passes.append(pl_module.losses)
        if len(self._passes) < pl_module.task.settings.accumulate:
            return
        self._waiting.append({name: torch.stack([p[name] for p in self._passes]).mean() for name in pl_module.losses})
        self._passes = []
        self.state.updates += 1
        self.state.rates.append(pl_module.learning_rate)
        last = self.state.updates == pl_module.total
        due = last or self.state.updates % self.validate_every == 0
        if due or self.state.updates % self._fetch_every == 0:
            stop = self._fetch(trainer, pl_module)
            self._tell(trainer, pl_module, {name: values[-1] for name, values in self.state.losses.items()})
            scores = self._validate(trainer, pl_module) if due else None
            if due:
                self._tell(trainer, pl_module, {}, scores or {})
            overdue = trainer.strategy.broadcast(
                time.monotonic() - self._saved >= pl_module.task.settings.checkpoint_seconds
            )
            if last or stop or overdue:
                self._save(trainer, pl_module)
            if stop:
                # A process of several ends quietly; the one that started them says what happened (``processes``).
                raise SystemExit(1) if multiprocessing.parent_process() is not None else Interrupted(stop)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._leave()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._leave()

    def _leave(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
        self.logs.close()

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        # A second Ctrl-C does not wait for the update to end; the last saved state stays.
        if self._signal is not None and number == signal.SIGINT:
            raise Interrupted(number)
        self._signal = number

    def _fetch(self, trainer: pl.Trainer, module: TaskModule) -> int:
        """Bring the losses of the last updates to the state; returns the signal any process got, or 0."""
        names = list(self._waiting[0])
        rows = torch.stack([torch.stack([row[name].float() for name in names]) for row in self._waiting])
        total = trainer.strategy.reduce(rows, reduce_op="mean")
        assert isinstance(total, Tensor)
        number = trainer.strategy.reduce(torch.tensor(float(self._signal or 0), device=rows.device), reduce_op="sum")
        first = self.state.updates - len(self._waiting)
        for row in total.tolist():
            for name, value in zip(names, row, strict=True):
                self.state.losses.setdefault(name, []).append(value)
        self._waiting = []
        section = module.task.settings.section
        for update, value in enumerate(self.state.losses["loss"][first:], start=first + 1):
            if not math.isfinite(value):
                raise SettingsError(
                    f"the training diverges: with {section}lr {module.task.settings.lr} the loss of update {update} is "
                    f"{value}; lower it, or set {section}gradient_clip or a {section}warmup"
                )
        if trainer.is_global_zero:
            self.logs.update(self.state, first)
        got = int(float(number))
        return 0 if not got else (self._signal or signal.SIGINT)

    def _validate(self, trainer: pl.Trainer, module: TaskModule) -> dict[str, float] | None:
        if trainer.world_size > 1:
            # Each process has batch norm statistics of its own until the next pass; those of the first are saved.
            for buffer in module.network.buffers():
                torch.distributed.broadcast(buffer, 0)
        module.eval()
        with torch.no_grad():
            sums = module.task.validate(trainer.global_rank, trainer.world_size)
            pictures = module.task.pictures() if trainer.is_global_zero else {}
        module.train()
        module.task.set_train_mode()
        scores = None if sums is None else self._score(trainer, module, sums, pictures)
        if trainer.is_global_zero:
            module.task.after_validation(self.path.parent, self.state.updates)
        return scores

    def _score(
        self,
        trainer: pl.Trainer,
        module: TaskModule,
        sums: Tensor,
        pictures: Mapping[str, UInt8[np.ndarray, "_ _ 3"]],
    ) -> dict[str, float]:
        total = trainer.strategy.reduce(sums.to(module.device), reduce_op="sum")
        assert isinstance(total, Tensor)
        scores = module.task.scores(total.cpu())
        self.state.validations.append({"update": float(self.state.updates), **scores})
        if trainer.is_global_zero:
            self.logs.validation(self.state, pictures)
            self._keep_best(module)
        return scores

    def _keep_best(self, module: TaskModule) -> None:
        """Store the weights of the best validation so far. They come before the state that speaks of them, and those
        that the state on disk speaks of stay until it is replaced, so a kill at any moment leaves a pair that agrees.
        """
        name, last = module.task.score_name, self.state.validations[-1]
        if name is not None and module.task.keeps_best and self.state.best(name) is last:
            save_tensors(best_weights(self.path, last), module.network.state_dict())

    def _save(self, trainer: pl.Trainer, module: TaskModule) -> None:
        self._saved = time.monotonic()
        if not trainer.is_global_zero:
            return
        self.state.seconds = self._saved - self._started
        self.state.network = module.network.state_dict()
        self.state.optimizer = trainer.optimizers[0].state_dict()
        self.state.precision = trainer.precision_plugin.state_dict()
        self.state.save(self.path)
        if module.task.score_name is not None and module.task.keeps_best and self.state.validations:
            forget_others(self.path, self.state.best(module.task.score_name))
        self.logs.tables(self.state)

    def _tell(
        self,
        trainer: pl.Trainer,
        module: TaskModule,
        losses: Mapping[str, float],
        scores: Mapping[str, float] | None = None,
    ) -> None:
        if self.on_event is not None and trainer.is_global_zero:
            self.on_event(FitEvent(self.state.updates, module.total, losses, scores))
