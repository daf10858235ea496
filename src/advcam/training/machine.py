"""The machine of a training: accelerator, precision, cores, and results that repeat."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from advcam.errors import SettingsError
from advcam.io.helpers import end_with_leader


def accelerator_and_precision(device: str, devices: int, precision: str) -> tuple[str, str]:
    """Fabric's words for the accelerator and the precision."""
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise SettingsError("device is cuda, but there is no CUDA device here: use cpu or auto")
    accelerator = "gpu" if has_gpu and device != "cpu" else "cpu"
    if accelerator == "gpu" and devices > torch.cuda.device_count():
        raise SettingsError(
            f"devices is {devices}, but there are only {torch.cuda.device_count()} GPUs here: use fewer"
        )
    if precision == "auto":
        half = "bf16" if accelerator == "gpu" and torch.cuda.get_device_capability()[0] >= 8 else "16"
        precision = half if accelerator == "gpu" else "32"
    if precision == "16" and accelerator == "cpu":
        raise SettingsError('precision "16" needs a GPU: use "32", or "bf16" on a CPU that computes in it')
    return accelerator, {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[precision]


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Algorithms whose sums keep their order, where there are any; they and the random numbers are as before after."""
    enabled = torch.are_deterministic_algorithms_enabled()
    only_warn = torch.is_deterministic_algorithms_warn_only_enabled()
    fills = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    caches = torch.is_autocast_cache_enabled()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []), warnings.catch_warnings():
            # It would warn of each operation that has no such algorithm on a GPU.
            warnings.filterwarnings("ignore", module=r"torch\.")
            torch.use_deterministic_algorithms(True, warn_only=True)
            # Every new tensor would be written once more, in case somebody reads it before its values are there; nobody
            # does, and it takes a few hundredths of the time of a small network.
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
            # The gradients of a weight that a pass uses several times would be added in half precision.
            torch.set_autocast_cache_enabled(False)
            yield
    finally:
        torch.set_autocast_cache_enabled(caches)
        torch.use_deterministic_algorithms(enabled, warn_only=only_warn)
        torch.utils.deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]


def seed_device(seed: int, device: torch.device) -> None:
    """Seed the generators of the CPU and of one device; no other GPU is touched."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)


def leave_interrupts(worker: int) -> None:
    """For what reads images: the main process alone answers Ctrl-C, and they end with it."""
    end_with_leader()
    torch.set_num_threads(1)


def reading_processes(asked: int | None, processes: int) -> int:
    """How many read images for each of ``processes`` on this machine: what is asked for, else a share of the cores."""
    return max(0, min(8, (os.cpu_count() or 1) // processes - 1)) if asked is None else asked


@contextmanager
def seeded(*seed: int) -> Iterator[None]:
    """Seed torch's generator of the CPU, on which networks are built, and leave it as it was found.

    No GPU is touched. Several numbers give a stream of its own for each part of a network that is built apart.

    >>> with seeded(1):
    ...     first = torch.rand(2)
    >>> with seeded(1):
    ...     torch.equal(torch.rand(2), first)
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed[0] if len(seed) == 1 else drawn(*seed))
        yield


def drawn(*key: int) -> int:
    """One seed of 64 bits from several numbers."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
