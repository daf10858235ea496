"""Processes that read images."""

from __future__ import annotations

import signal

import torch


def leave_interrupts(worker: int) -> None:
    """Let the main process alone answer Ctrl-C, which a terminal sends to all; they share the cores."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
