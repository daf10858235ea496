"""The loop of every training, on Lightning Fabric: passes, an update, and what is due after it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from advcam.errors import SettingsError
from advcam.training.items import batches_of
from advcam.training.logs import TrainingLogs
from advcam.training.machine import drawn, reproducible, seed_device
from advcam.training.norms import norms_checked
from advcam.training.progress import FitEvent
from advcam.training.schedule import build_optimizer, set_learning_rate
from advcam.training.signals import noted_signals
from advcam.training.state import FitState, Plan, best_weights, forget_others, save_tensors
from advcam.training.task import LAYERS, Task

# Updates between two fetches of the losses from a GPU: each one waits for it.
FETCH_EVERY = 10

Losses = Mapping[str, Tensor]


class Pass(nn.Module):
    """The network as it is wrapped for several devices: a loss that is made within shares its gradients."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, loss: Callable[[], Losses]) -> Losses:
        return loss()


def train(
    fabric: Fabric, module: Pass, task: Task, plan: Plan, on_event: Callable[[FitEvent], None] | None = None
) -> int:
    """Make the updates that are left, with every validation up to there, and save the state.

    Nothing but the state is needed to go on: the order of the items, their augmentation, the learning rate and the
    random layers are functions of the seed and the update.

    Args:
        module: around the task's network.
        on_event: is told of each update and each validation, in the first process.

    Returns:
        The signal after which the training was left, its state saved; 0 at the end.
    """
    settings, state = task.settings, plan.state()
    if state.network:
        task.network.load_state_dict(state.network)
    # The layout that convolutions are fastest in, on CPUs and on GPUs in half precision.
    task.network.to(memory_format=torch.channels_last)
    optimizer = build_optimizer(task.parameter_groups(), settings)
    wrapped, stepper = fabric.setup(module, optimizer)
    if state.optimizer:
        optimizer.load_state_dict(state.optimizer)
    if state.precision:
        fabric.strategy.precision.load_state_dict(state.precision)
    # The first process may write a new state as soon as it goes on.
    fabric.barrier()
    with (
        norms_checked(module, settings),
        noted_signals() as signals,
        reproducible(fabric.device),
        closing(TrainingLogs(plan.path.parent)) as logs,
    ):
        record = _Record(fabric, task, state, plan, optimizer, logs, on_event)
        batches = iter(batches_of(task, state.updates, plan.total, fabric))
        task.set_train_mode()
        for update in range(state.updates, plan.total):
            passes: list[dict[str, Tensor]] = []
            for part in range(settings.accumulate):
                batch = fabric.to_device(next(batches))
                # A resumed training then repeats an undisturbed one.
                place = update * settings.accumulate + part
                seed_device(drawn(settings.seed, LAYERS, place, fabric.global_rank), fabric.device)
                with fabric.no_backward_sync(wrapped, enabled=part + 1 < settings.accumulate):
                    losses = wrapped(partial(task.loss, batch, update, plan.total))
                    fabric.backward(losses["loss"] / settings.accumulate)
                passes.append({name: value.detach() for name, value in losses.items()})
            if settings.gradient_clip is not None:
                fabric.clip_gradients(wrapped, stepper, max_norm=settings.gradient_clip, error_if_nonfinite=False)
            factor = task.lr_factor(update, plan.total)
            set_learning_rate(optimizer, factor)
            stepper.step()
            optimizer.zero_grad()
            stop = record.after_update(passes, settings.lr * factor, signals.number)
            if stop:
                break
        else:
            stop = 0
    # Whoever reads the state now finds the last one.
    fabric.barrier()
    return stop


@dataclass
class _Record:
    """History, validations and the state on disk."""

    fabric: Fabric
    task: Task
    state: FitState
    plan: Plan
    optimizer: torch.optim.Optimizer
    logs: TrainingLogs
    on_event: Callable[[FitEvent], None] | None
    waiting: list[dict[str, Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.saved = time.monotonic()
        self.started = self.saved - self.state.seconds

    def after_update(self, passes: list[dict[str, Tensor]], rate: float, signal: int) -> int:
        """Take note of an update, and do what is due; returns the signal to stop for, or 0."""
        self.waiting.append({name: torch.stack([one[name] for one in passes]).mean() for name in passes[0]})
        state, plan = self.state, self.plan
        state.updates += 1
        state.rates.append(rate)
        last = state.updates == plan.total
        due = last or state.updates % plan.validate_every == 0
        if not due and self.fabric.device.type != "cpu" and state.updates % FETCH_EVERY:
            return 0
        self.fetch()
        self.tell({name: values[-1] for name, values in state.losses.items()})
        if due:
            self.tell({}, self.validate() or {})
        overdue = time.monotonic() - self.saved >= self.task.settings.checkpoint_seconds
        flags = torch.tensor([float(signal), float(overdue)], device=self.fabric.device)
        stop, save = self.together(flags, "max").tolist()
        if last or stop or save:
            self.save()
        return int(stop)

    def fetch(self) -> None:
        """Bring the losses of the last updates to the state: means over the processes."""
        names, state = list(self.waiting[0]), self.state
        rows = torch.stack([torch.stack([row[name].float() for name in names]) for row in self.waiting])
        first = state.updates - len(self.waiting)
        for row in self.together(rows, "mean").tolist():
            for name, value in zip(names, row, strict=True):
                state.losses.setdefault(name, []).append(value)
        self.waiting = []
        settings = self.task.settings
        for update, value in enumerate(state.losses["loss"][first:], start=first + 1):
            if not math.isfinite(value):
                raise SettingsError(
                    f"the training diverges: with {settings.section}lr {settings.lr} the loss of update {update} is "
                    f"{value}; lower it, or set {settings.section}gradient_clip or a {settings.section}warmup"
                )
        if self.fabric.is_global_zero:
            self.logs.update(state, first)

    def validate(self) -> dict[str, float] | None:
        network, task, first = self.task.network, self.task, self.fabric.is_global_zero
        if self.fabric.world_size > 1:
            # Each process has batch norm statistics of its own until the next pass; those of the first are saved.
            for buffer in network.buffers():
                torch.distributed.broadcast(buffer, 0)
        network.eval()
        with torch.no_grad():
            sums = task.validate(self.fabric.global_rank, self.fabric.world_size)
            pictures = task.pictures() if first and sums is not None else {}
        task.set_train_mode()
        if sums is None:
            return None
        scores = task.scores(self.together(sums.to(self.fabric.device), "sum").cpu())
        self.state.validations.append({"update": float(self.state.updates), **scores})
        if first:
            self.logs.validation(self.state, pictures)
            # Before the state that speaks of them; those that the state on disk speaks of stay until it is replaced,
            # so a kill at any moment leaves a pair that agrees.
            if self.chooses and self.state.best(self.chooses) is self.state.validations[-1]:
                save_tensors(best_weights(self.plan.path, self.state.validations[-1]), network.state_dict())
        return scores

    def save(self) -> None:
        self.saved = time.monotonic()
        if not self.fabric.is_global_zero:
            return
        state = self.state
        state.seconds = self.saved - self.started
        state.network = self.task.network.state_dict()
        state.optimizer = self.optimizer.state_dict()
        state.precision = self.fabric.strategy.precision.state_dict()
        state.save(self.plan.path)
        if self.chooses and state.validations:
            forget_others(self.plan.path, state.best(self.chooses))
        self.logs.tables(state)

    def tell(self, losses: Mapping[str, float], scores: Mapping[str, float] | None = None) -> None:
        if self.on_event is not None and self.fabric.is_global_zero:
            self.on_event(FitEvent(self.state.updates, self.plan.total, losses, scores))

    def together(self, values: Tensor, how: str) -> Tensor:
        """Over all processes: the "sum", the "mean" or the "max"."""
        found = self.fabric.all_reduce(values, reduce_op=how)
        assert isinstance(found, Tensor)
        return found

    @property
    def chooses(self) -> str | None:
        """The score that chooses the weights that are kept, where it is not the last ones."""
        return self.task.score_name if self.task.keeps_best else None
