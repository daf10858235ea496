"""Timing side by side: whatever is compared runs in turns, and the best turn of each counts."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

Name = TypeVar("Name")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Seconds:
    """The best of several turns."""

    wall: float
    cpu: float
    """Of all threads of this process: other programs on the same cores do not count."""

    def __sub__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall - other.wall, self.cpu - other.cpu)

    def __truediv__(self, count: float) -> Seconds:
        return Seconds(self.wall / count, self.cpu / count)


def in_turns(
    contestants: Mapping[Name, Callable[[], object]], turns: int, device: torch.device | None = None
) -> dict[Name, Seconds]:
    """Run everything once to warm up, then ``turns`` times in turns; the best time of each, wall and CPU apart.

    >>> times = in_turns({"sleep": lambda: time.sleep(0.01), "nothing": lambda: None}, turns=2)
    >>> times["sleep"].wall > 0.009 > times["sleep"].cpu
    True
    """
    best: dict[Name, Seconds] = {}
    for turn in range(turns + 1):
        for name, run in contestants.items():
            wait(device)
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            wait(device)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if turn:
                known = best.get(name, Seconds(wall, cpu))
                best[name] = Seconds(min(known.wall, wall), min(known.cpu, cpu))
    return best


def wait(device: torch.device | None) -> None:
    """Let a GPU finish what it was given."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(run: Callable[[], object], device: torch.device) -> int | None:
    """Bytes that a call takes at its highest above what was there: of the GPU, or of this process under Linux.

    A process holds on to memory that it once had, so on a CPU call it in a fresh process (``apart``).
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    if not sys.platform.startswith("linux"):
        return None
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM back to VmRSS
    before = resident("VmRSS")
    run()
    return resident("VmHWM") - before


def resident(entry: str = "VmRSS") -> int:
    """Memory of this process in bytes: ``VmRSS`` now, ``VmHWM`` at its highest. Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(entry))


def apart(function: Callable[..., Result], *arguments: object) -> Result:
    """The result of a call in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()
