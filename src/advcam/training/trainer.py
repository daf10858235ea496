"""Train a network, or go on where its training was stopped."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import lightning.pytorch as pl
import torch

from advcam.training.items import TaskData, check_shares
from advcam.training.machine import accelerator_and_precision, launched_processes, quiet_lightning
from advcam.training.module import TaskModule
from advcam.training.processes import as_one
from advcam.training.progress import FitEvent
from advcam.training.recorder import Interrupted, Recorder
from advcam.training.settings import numbers_depend_on
from advcam.training.state import FitState, load_best
from advcam.training.task import Task

STATE_NAME = "training.pt"


@dataclass(frozen=True)
class FitResult:
    """A finished training.

    Attributes:
        updates: of the whole training.
        seconds: they took, summed over all sittings.
        losses: of each update, by name.
        validations: one per validation: ``update``, the updates made before it, and its scores.
        kept: the validation of the weights that were kept, None without one.
    """

    updates: int
    seconds: float
    losses: dict[str, list[float]]
    validations: tuple[dict[str, float], ...]
    kept: dict[str, float] | None


def fit(
    task: Task,
    folder: Path,
    *,
    origin: Mapping[str, str],
    device: Literal["auto", "cpu", "cuda"] = "auto",
    devices: int = 1,
    on_event: Callable[[FitEvent], None] | None = None,
) -> FitResult:
    """Train the network of a task; afterwards it holds the weights that ``task.settings.keep`` asks for.

    The same call with the same folder goes on where the last one was stopped, be it by Ctrl-C or by a power cut, and
    ends with the weights of an undisturbed training: on a CPU to the last bit. After the end it only reads the result.

    Args:
        task: what is trained; its settings say how.
        folder: made if it is not there. Holds the state and the logs (``advcam.training.logs``).
        origin: the data, and whatever else the numbers depend on, in words; the settings are added.
        device: "auto" is a GPU where there is one.
        devices: GPUs (or processes on the CPU) to share each batch between. With more than one the task and
            ``on_event`` are sent to other processes and must be picklable. A process that ``torchrun`` started takes
            part in its group instead.
        on_event: is told of the updates and of each validation; see ``FitProgress``.

    Raises:
        UserError: of an item or a batch that cannot be made.
        SettingsError: settings that do not fit the data or the machine, or a loss that is no longer a number.
        RunError: the folder cannot be written to, or holds a training with other settings or data.
        KeyboardInterrupt: Ctrl-C, after the update it fell into was made and saved; SystemExit likewise after SIGTERM.
    """
    settings = task.settings
    accelerator, precision = accelerator_and_precision(device, devices, settings.precision)
    if len(task) < settings.batch_size:
        raise settings.wrong(
            "batch_size", f"there are only {len(task)} items to train on: set it to at most {len(task)}"
        )
    if settings.keep == "best" and not task.keeps_best:
        raise settings.wrong("keep", 'there is nothing to validate on: take "last", or "auto" for either')
    per_epoch = len(task) // settings.batch_size
    total = settings.updates or settings.epochs * per_epoch
    path = Path(folder) / STATE_NAME
    described = {**origin, **{name: str(value) for name, value in numbers_depend_on(settings).items()}}
    described |= {"keep": "best" if task.keeps_best else "last", "items": str(len(task))}
    state = FitState(described)
    if path.exists():
        state = FitState.load(path)
        state.check_origin(path, described)
    if state.updates < total:
        group = launched_processes()
        check_shares(task, devices if group is None else group[0] * group[1])
        if state.network:
            task.network.load_state_dict(state.network)
        # The layout that convolutions are fastest in, on CPUs and on GPUs in half precision.
        task.network.to(memory_format=torch.channels_last)
        strategy = "auto"
        if group is not None or devices > 1:
            strategy = "ddp" if group is not None else "ddp_spawn"
            strategy += "" if task.sees_all_parameters else "_find_unused_parameters_true"
        recorder = Recorder(state, path, settings.validate_every or per_epoch, on_event)
        try:
            gpus = range(torch.cuda.device_count()) if accelerator == "gpu" else []
            with torch.random.fork_rng(gpus), quiet_lightning():
                trainer = pl.Trainer(
                    accelerator=accelerator,
                    devices=devices if group is None else group[0],
                    num_nodes=1 if group is None else group[1],
                    strategy=strategy,
                    precision=precision,  # type: ignore[arg-type]
                    max_epochs=1,
                    accumulate_grad_batches=settings.accumulate,
                    gradient_clip_val=settings.gradient_clip,
                    num_sanity_val_steps=0,
                    limit_val_batches=0,
                    use_distributed_sampler=False,
                    deterministic="warn",
                    callbacks=[recorder],
                    logger=False,
                    enable_checkpointing=False,
                    enable_progress_bar=False,
                    enable_model_summary=False,
                    default_root_dir=path.parent,
                )
                with as_one(trainer) if trainer.strategy.launcher is not None and group is None else nullcontext():
                    trainer.fit(TaskModule(task, state.updates, total), datamodule=TaskData(task, state.updates, total))
        except Interrupted as stop:
            if stop.signal_number == signal.SIGINT:
                raise KeyboardInterrupt from None
            raise SystemExit(128 + stop.signal_number) from None
        state = FitState.load(path)
    return _finish(task, path, state)


def _finish(task: Task, path: Path, state: FitState) -> FitResult:
    """Give the network the weights that are kept."""
    kept = state.validations[-1] if state.validations else None
    weights = state.network
    if task.score_name is not None and task.keeps_best and kept is not None:
        kept = state.best(task.score_name)
        weights = load_best(path, kept)
    task.network.load_state_dict(weights)
    task.network.eval()
    return FitResult(state.updates, state.seconds, state.losses, tuple(state.validations), kept)
