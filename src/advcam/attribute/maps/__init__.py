"""Maps that can be climbed, one file each: what the network's answer for a class rests on, cell by cell."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "ACoL": "acol",
    "CAM": "cam",
    "GradCAM": "gradcam",
    "GradCAMpp": "gradcam_pp",
    "LayerCAM": "layercam",
    "SEAM": "seam",
    "Tokens": "tokens",
}

__all__ = ["CAM", "SEAM", "ACoL", "GradCAM", "GradCAMpp", "LayerCAM", "Tokens"]

if TYPE_CHECKING:
    from advcam.attribute.maps.acol import ACoL
    from advcam.attribute.maps.cam import CAM
    from advcam.attribute.maps.gradcam import GradCAM
    from advcam.attribute.maps.gradcam_pp import GradCAMpp
    from advcam.attribute.maps.layercam import LayerCAM
    from advcam.attribute.maps.seam import SEAM
    from advcam.attribute.maps.tokens import Tokens


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"advcam.attribute.maps.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'advcam.maps' has no attribute {name!r}")
