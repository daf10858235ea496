"""The processes of a training: this one alone, several that are started here, or those of torchrun."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue
from typing import Any

from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import nn
from torch.multiprocessing.spawn import ProcessException

from advcam.errors import UserError
from advcam.io.helpers import end_with_leader
from advcam.training.signals import noted_signals

# It announces what it does, in a process that is started here before anything of ours is called.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)

Work = Callable[[Fabric], int]


def launched_processes() -> tuple[int, int] | None:
    """Processes on this machine and number of machines where ``torchrun`` started this process, else None."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    here, everywhere = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    return here, everywhere // here


def run(work: Work, module: nn.Module, accelerator: str, devices: int, precision: str) -> int:
    """Do some work in this process, or in one for each device; returns what it returns in the first one.

    Args:
        work: returns the number of a signal that stopped it, or 0; picklable where processes are started here.
        module: what it trains; each process gets its own.
        devices: how many processes; those of torchrun are counted by it.
        precision: Fabric's word.
    """
    if accelerator == "gpu":
        # Read when the first matrix is multiplied: its sums then keep their order.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    group = launched_processes()
    common: dict[str, Any] = {"accelerator": accelerator, "precision": precision}
    if group is not None:
        fabric = Fabric(devices=group[0], num_nodes=group[1], strategy=DDPStrategy(), **common)
        return fabric.launch(work)
    if devices == 1:
        return work(Fabric(devices=1, **common))
    fabric = Fabric(devices=devices, strategy=DDPStrategy(start_method="spawn"), **common)
    told: SimpleQueue[UserError] = multiprocessing.get_context("spawn").SimpleQueue()
    others = set(multiprocessing.active_children())

    def forward() -> None:
        for process in set(multiprocessing.active_children()) - others:
            # A terminal sends Ctrl-C to all processes, and its second one does not wait for the end of an update.
            os.kill(process.ident or 0, signal.SIGTERM)

    with noted_signals(forward) as signals:
        try:
            # Fabric parts the tensors of a module among the arguments, which are in shared memory, but of no other one.
            stop = fabric.launch(_reported, module, told, work)  # type: ignore[arg-type]
            return signals.number or stop
        except ProcessException:
            if told.empty():
                raise
    raise told.get() from None


def _reported(fabric: Fabric, module: nn.Module, told: SimpleQueue[UserError], work: Work) -> int:
    """In a process that was started here: a user's mistake goes back as itself, not as a traceback."""
    end_with_leader()
    try:
        return work(fabric)
    except UserError as error:
        told.put(error)
        raise SystemExit(1) from None
