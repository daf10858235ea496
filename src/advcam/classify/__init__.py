"""Classifiers trained on class labels alone, and the judgement whether they know their classes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Imported on first use, so that the settings can be read without loading torch.
_HOMES = {
    "ClassifierJudgement": "advcam.classify.quality",
    "ClassifySettings": "advcam.classify.settings",
    "TrainingResult": "advcam.classify.train",
    "average_precision": "advcam.classify.average_precision",
    "judge_classifier": "advcam.classify.quality",
    "train_classifier": "advcam.classify.train",
}

__all__ = [
    "ClassifierJudgement",
    "ClassifySettings",
    "TrainingResult",
    "average_precision",
    "judge_classifier",
    "train_classifier",
]

if TYPE_CHECKING:
    from advcam.classify.average_precision import average_precision
    from advcam.classify.quality import ClassifierJudgement, judge_classifier
    from advcam.classify.settings import ClassifySettings
    from advcam.classify.train import TrainingResult, train_classifier


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'advcam.classify' has no attribute {name!r}")
