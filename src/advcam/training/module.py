"""A task as Lightning sees it: one pass, one optimizer, its learning rate."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from advcam.errors import SettingsError
from advcam.training.schedule import build_optimizer, set_learning_rate
from advcam.training.seeding import drawn
from advcam.training.settings import FitSettings
from advcam.training.task import LAYERS, Task

# How torch begins its complaint about a batch norm that sees one cell of one image.
_ONE_VALUE = "Expected more than 1 value per channel"


class TaskModule(pl.LightningModule):
    """A task under training.

    Args:
        task: its network becomes this module's.
        updates_done: updates made before, by a training that was stopped.
        total: updates of the whole training.
    """

    def __init__(self, task: Task, updates_done: int, total: int) -> None:
        super().__init__()
        self.network, self.task = task.network, task
        self.updates_done, self.total = updates_done, total
        self.passes_done = updates_done * task.settings.accumulate
        self.learning_rate = 0.0
        self.losses: dict[str, Tensor] = {}

    @property
    def updates_made(self) -> int:
        return self.updates_done + self.global_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimizer(self.task.parameter_groups(), self.task.settings)

    def on_fit_start(self) -> None:
        # Deterministic algorithms would write every new tensor once more, in case somebody reads it before its values
        # are there; nobody does, and it takes a few hundredths of the time of a small network.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

    def on_train_epoch_start(self) -> None:
        self.task.set_train_mode()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # Random layers then depend on the place in the training alone, so a resumed one repeats the undisturbed one.
        torch.manual_seed(drawn(self.task.settings.seed, LAYERS, self.passes_done, self.global_rank))
        self.passes_done += 1

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        try:
            losses = self.task.loss(batch, self.updates_made, self.total)
        except ValueError as error:
            if not str(error).startswith(_ONE_VALUE):
                raise
            raise SettingsError(too_little_for_batch_norm(self.task.settings)) from error
        # Lightning hands its callbacks the loss divided by the passes of an update.
        self.losses = {name: value.detach() for name, value in losses.items()}
        return losses["loss"]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        factor = self.task.lr_factor(self.updates_made, self.total)
        set_learning_rate(optimizer, factor)
        self.learning_rate = self.task.settings.lr * factor


def too_little_for_batch_norm(settings: FitSettings) -> str:
    """What is wrong, and the settings that mend it, where a batch norm sees a single value of each channel."""
    section = settings.section
    mends = [f"raise {section}batch_size, or lower {section}accumulate or the number of devices"]
    if hasattr(settings, "crop"):
        mends.append(f"raise {section}crop, which is {settings.crop}")
    if hasattr(settings, "freeze_batch_norm"):
        mends.append(f"set {section}freeze_batch_norm true")
    return (
        f"{section}batch_size {settings.batch_size} leaves one image to a pass, whose features are a single cell, and "
        f"batch norm cannot learn from one value: {'; or '.join(mends)}"
    )
