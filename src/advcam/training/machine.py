"""The accelerator and the precision of a training, and Lightning kept quiet."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from advcam.errors import SettingsError

TALKATIVE = ("lightning.pytorch", "lightning.fabric", "torch.multiprocessing.spawn")


def accelerator_and_precision(device: str, devices: int, precision: str) -> tuple[str, str]:
    """Lightning's words for the accelerator and the precision.

    Raises:
        SettingsError: a device or a precision that is not to be had here.
    """
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


def launched_processes() -> tuple[int, int] | None:
    """Processes on this machine and number of machines where ``torchrun`` started this process, else None."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    here, all_ = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    return here, all_ // here


def silence() -> None:
    """Keep Lightning's and torch's remarks from the user of this process."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\.|torch\.")


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Lightning's remarks on hardware, workers and its own products do not reach the user; torch is left as it was."""
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    levels = [logger.level for logger in loggers]
    deterministic, only_warn = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    fills = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    try:
        with warnings.catch_warnings():
            silence()
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        torch.use_deterministic_algorithms(deterministic, warn_only=only_warn)
        torch.utils.deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]
