"""Processes that read images."""

from __future__ import annotations

import os
import signal

import torch


def leave_interrupts(worker: int) -> None:
    """Let the main process alone answer Ctrl-C, which a terminal sends to all; they share the cores."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def reading_processes(asked: int | None, processes: int) -> int:
    """How many read images for each of ``processes`` on this machine: what is asked for, else a share of the cores."""
    return max(0, min(8, (os.cpu_count() or 1) // processes - 1)) if asked is None else asked
