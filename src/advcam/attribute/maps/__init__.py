"""Maps that can be climbed, one file each: what the network's answer for a class rests on, cell by cell."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "ACoL": "acol",
    "CAM": "cam",
}

__all__ = ["CAM", "ACoL"]

if TYPE_CHECKING:
    from advcam.attribute.maps.acol import ACoL
    from advcam.attribute.maps.cam import CAM


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"advcam.attribute.maps.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'advcam.maps' has no attribute {name!r}")
