"""One trainer for every network but the image classifier: exact resume, several processes, logs, pictures."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Imported on first use, so that the settings can be read without loading torch.
_HOMES = {
    "FitEvent": "advcam.training.progress",
    "FitProgress": "advcam.training.progress",
    "FitResult": "advcam.training.trainer",
    "FitSettings": "advcam.training.settings",
    "Task": "advcam.training.task",
    "fit": "advcam.training.trainer",
}

__all__ = ["FitEvent", "FitProgress", "FitResult", "FitSettings", "Task", "fit"]

if TYPE_CHECKING:
    from advcam.training.progress import FitEvent, FitProgress
    from advcam.training.settings import FitSettings
    from advcam.training.task import Task
    from advcam.training.trainer import FitResult, fit


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'advcam.training' has no attribute {name!r}")
