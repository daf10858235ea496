"""Pixel masks from image-level class labels, by anti-adversarial climbing of class activation maps."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public names and where they live. They are imported on first use, so that `advcam --help` stays quick.
_HOMES = {
    "AdvCAM": "advcam.attribute.explain",
    "ClassMapper": "advcam.models.mapper",
    "ClimbSettings": "advcam.attribute.settings",
    "adapted": "advcam.attribute.settings",
    "cam": "advcam.attribute.cam",
    "climb": "advcam.attribute.climb",
    "localization_maps": "advcam.attribute.multiscale",
}
# Where the folder is another one than the name says.
_MODULES = {"maps": "advcam.attribute.maps"}
_FOLDERS = (
    "data",
    "models",
    "training",
    "classify",
    "saliency",
    "attribute",
    "refine",
    "segment",
    "localize",
    "evaluate",
    "analyse",
    "export",
    "report",
    "pipeline",
)

__all__ = [
    "AdvCAM",
    "ClassMapper",
    "ClimbSettings",
    "__version__",
    "adapted",
    "cam",
    "climb",
    "localization_maps",
    "maps",
]

if TYPE_CHECKING:
    from advcam.attribute import maps
    from advcam.attribute.cam import cam
    from advcam.attribute.climb import climb
    from advcam.attribute.explain import AdvCAM
    from advcam.attribute.multiscale import localization_maps
    from advcam.attribute.settings import ClimbSettings, adapted
    from advcam.models.mapper import ClassMapper


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _FOLDERS or name in _MODULES:
        return import_module(_MODULES.get(name, f"advcam.{name}"))
    raise AttributeError(f"module 'advcam' has no attribute {name!r}")
