"""Train a network, or go on where its training was stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from advcam.training.items import check_shares
from advcam.training.loop import Pass, train
from advcam.training.machine import accelerator_and_precision
from advcam.training.processes import launched_processes, run
from advcam.training.progress import FitEvent
from advcam.training.settings import numbers_depend_on
from advcam.training.signals import raise_stop
from advcam.training.state import FitState, Plan, load_best
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
    described = {**origin, **{name: str(value) for name, value in numbers_depend_on(settings).items()}}
    described |= {"keep": "best" if task.keeps_best else "last", "items": str(len(task))}
    plan = Plan(Path(folder) / STATE_NAME, total, settings.validate_every or per_epoch, described)
    if plan.state().updates < total:
        group = launched_processes()
        check_shares(task, devices if group is None else group[0] * group[1])
        module = Pass(task.network)
        work = partial(train, module=module, task=task, plan=plan, on_event=on_event)
        raise_stop(run(work, module, accelerator, devices, precision))
    return _finish(task, plan.path, plan.state())


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
