"""Boxes from localization maps."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Public names and where they live, imported on first use. No name here may also be the name of a file of this
# folder: importing the file would put the module in the function's place.
_HOMES = {
    "boxes": "advcam.localize.levels",
    "boxes_at_levels": "advcam.localize.levels",
    "grey_level": "advcam.localize.levels",
    "find_objects": "advcam.localize.objects",
    "ivr": "advcam.localize.normalize",
    "maximum": "advcam.localize.normalize",
    "min_max": "advcam.localize.normalize",
    "pas": "advcam.localize.normalize",
}

__all__ = ["boxes", "boxes_at_levels", "find_objects", "grey_level", "ivr", "maximum", "min_max", "pas"]

if TYPE_CHECKING:
    from advcam.localize.levels import boxes, boxes_at_levels, grey_level
    from advcam.localize.normalize import ivr, maximum, min_max, pas
    from advcam.localize.objects import find_objects


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'advcam.localize' has no attribute {name!r}")
