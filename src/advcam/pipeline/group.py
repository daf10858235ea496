"""Several processes that work on one stage: started here, one per GPU or per core, or by torchrun.

The first process leads: it alone plans, reads and writes the manifest, and shows the progress. It hands every process
its share, and collects a report of each. Shares are handed over and reports collected with gloo.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Semaphore
from typing import Any

import torch
import torch.distributed as dist

from advcam.errors import RunError, SettingsError, UserError

# A share may take days; whoever waits for the others waits as long.
PATIENCE = timedelta(days=30)
# Seconds between two looks at the others.
LOOK = 0.2


@dataclass(frozen=True)
class Report:
    """What a process has to say when its share is done, or why it is not."""

    result: Any = None
    mistake: UserError | None = None
    fault: str | None = None
    """The traceback of any other error."""


@dataclass
class Group:
    """This process among those that share a stage; alone unless told."""

    rank: int = 0
    world: int = 1
    store: dist.Store | None = None
    helpers: Sequence[BaseProcess] = field(default_factory=tuple)

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def share(self, parts: Sequence[Any] | None = None) -> Any:
        """One of the leader's ``parts`` for each process."""
        if self.store is None:
            assert parts is not None
            return parts[0]
        mine: list[Any] = [None]
        dist.scatter_object_list(mine, None if parts is None else list(parts), src=0)
        return mine[0]

    def tell(self, count: int) -> None:
        """Tell the leader that so many images more are done."""
        if self.store is not None and not self.leads:
            self.store.add("done", count)

    def heard(self) -> int:
        """How many images the others have done."""
        return 0 if self.store is None else self.store.add("done", 0)

    def given_up(self) -> bool:
        """Whether another process has failed: what this one has done is kept, but it need not go on."""
        return self.store is not None and self.store.add("failed", 0) > 0

    def collect(self, own: Report, waiting: Callable[[], object] = lambda: None) -> list[Report]:
        """The reports of all processes, for the leader; nothing for the others.

        Raises:
            RunError: a process has ended without a report.
        """
        if self.store is None:
            return [own]
        if own.mistake or own.fault:
            self.store.add("failed", 1)
        self.store.add("finished", 1)
        while self.leads and self.store.add("finished", 0) < self.world:
            self.look_after_helpers()
            waiting()
            time.sleep(LOOK)
        waiting()
        reports: list[Any] | None = [None] * self.world if self.leads else None
        dist.gather_object(own, reports, dst=0)
        return reports or []

    def look_after_helpers(self) -> None:
        for helper in self.helpers:
            if helper.exitcode not in (None, 0):
                raise RunError(
                    f"one of the {self.world} processes ended with code {helper.exitcode}, short of memory it may be: "
                    "the same command goes on from there; --processes takes another number of them"
                )


@contextmanager
def group_of(processes: int, follow: Callable[[int, int], None]) -> Iterator[Group]:
    """The processes of torchrun where it started this one; else this one and ``processes - 1`` that are started here.

    Args:
        processes: how many there are to be, where they are started here.
        follow: what the others run, given rank and world; it can be pickled, and joins with ``joined``.

    Raises:
        RunError: one of those that are started here ends before it has joined.
    """
    if of_torchrun():
        with joined(torchrun_rank(), torchrun_world()) as group:
            yield group
        return
    if processes == 1:
        yield Group()
        return
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    context = multiprocessing.get_context("spawn")
    threads = torch.get_num_threads()
    ready = context.Semaphore(0)
    own_threads = max(1, threads // processes)
    with set_environment(address):
        helpers = [
            context.Process(target=_help, args=(follow, rank, processes, own_threads, ready), daemon=True)
            for rank in range(1, processes)
        ]
        try:
            for helper in helpers:
                helper.start()
            torch.set_num_threads(own_threads)
            group = Group(0, processes, None, helpers)
            for _ in helpers:
                while not ready.acquire(timeout=LOOK):
                    group.look_after_helpers()
            with joined(0, processes) as together:
                together.helpers = helpers
                yield together
        finally:
            torch.set_num_threads(threads)
            for helper in helpers:
                if helper.pid is not None:
                    helper.terminate()
                    helper.join()


def _help(follow: Callable[[int, int], None], rank: int, world: int, threads: int, ready: Semaphore) -> None:
    # Ctrl-C reaches every process of a terminal; the leader ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    ready.release()
    follow(rank, world)


@contextmanager
def joined(rank: int, world: int) -> Iterator[Group]:
    """This process as one of a group, at the address that the environment names."""
    if world == 1:
        yield Group()
        return
    store, rank, world = next(iter(dist.rendezvous("env://", rank, world, timeout=PATIENCE)))
    store.set_timeout(PATIENCE)
    dist.init_process_group(
        "gloo", store=dist.PrefixStore("gloo", store), rank=rank, world_size=world, timeout=PATIENCE
    )
    try:
        yield Group(rank, world, dist.PrefixStore("advcam", store))
    finally:
        dist.destroy_process_group()


def reported(work: Callable[[], Any]) -> Report:
    """Do a share; what went wrong is in the report, so that the leader can say it."""
    try:
        return Report(work())
    except UserError as error:
        return Report(mistake=error)
    # Whatever it is, the leader has to hear of it.
    except Exception:
        return Report(fault=traceback.format_exc())


def raise_first(reports: Sequence[Report]) -> None:
    """Raise what the first process that failed has reported."""
    for report in reports:
        if report.mistake:
            raise report.mistake
        if report.fault:
            raise RuntimeError(f"a process of the group failed:\n{report.fault}")


def of_torchrun() -> bool:
    """Whether torchrun started this process, together with others that it knows of."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def torchrun_rank() -> int:
    """The rank of this process among those of torchrun; 0 where it was not torchrun that started it."""
    return int(os.environ["RANK"]) if of_torchrun() else 0


def torchrun_world() -> int:
    """How many processes torchrun started, on all machines together; 1 where it did not start this one."""
    return int(os.environ["WORLD_SIZE"]) if of_torchrun() else 1


def own_device(device: torch.device, group: Group) -> torch.device:
    """The GPU of this process, one for each process of a machine; the CPU for all."""
    if device.type != "cuda":
        return device
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]) if of_torchrun() else group.rank)


def process_count(asked: int | None, device: torch.device) -> int:
    """How many processes of this machine work on a stage: as many as asked for, else one per GPU, or one.

    Raises:
        SettingsError: more than there are GPUs.
    """
    if of_torchrun():
        return int(os.environ["LOCAL_WORLD_SIZE"])
    if device.type != "cuda":
        return asked or 1
    there = torch.cuda.device_count()
    if asked is not None and asked > there:
        raise SettingsError(f"--processes {asked}: torch sees {there} GPUs here, and each process takes one")
    return asked or there


@contextmanager
def set_environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables inside, and as they were outside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
