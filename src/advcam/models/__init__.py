"""Networks behind one small interface: a feature map, a linear head over its mean, and the input's statistics."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Imported on first use, so that the settings can be read without loading torch.
_HOMES = {
    "BackboneSettings": "advcam.models.settings",
    "ClassMapper": "advcam.models.mapper",
    "Classifier": "advcam.models.classifier",
    "TappedBackbone": "advcam.models.taps",
    "build_classifier": "advcam.models.classifier",
    "freeze_batch_norm": "advcam.models.batch_norm",
    "load_classifier": "advcam.models.checkpoint",
    "mapper_from_model": "advcam.models.discover",
    "save_classifier": "advcam.models.checkpoint",
    "tapped": "advcam.models.taps",
}

__all__ = [
    "BackboneSettings",
    "ClassMapper",
    "Classifier",
    "TappedBackbone",
    "build_classifier",
    "freeze_batch_norm",
    "load_classifier",
    "mapper_from_model",
    "save_classifier",
    "tapped",
]

if TYPE_CHECKING:
    from advcam.models.batch_norm import freeze_batch_norm
    from advcam.models.checkpoint import load_classifier, save_classifier
    from advcam.models.classifier import Classifier, build_classifier
    from advcam.models.discover import mapper_from_model
    from advcam.models.mapper import ClassMapper
    from advcam.models.settings import BackboneSettings
    from advcam.models.taps import TappedBackbone, tapped


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'advcam.models' has no attribute {name!r}")
