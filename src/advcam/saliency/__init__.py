"""Salient-object maps: read from a folder, or from a detector that is trained here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Public names and where they live, imported on first use: the settings must be readable without torch.
_HOMES = {
    "DetectorSettings": "advcam.saliency.settings",
    "FolderMaps": "advcam.saliency.folder",
    "OpenCVDetector": "advcam.saliency.opencv",
    "PLANS": "advcam.saliency.u2net",
    "SaliencySettings": "advcam.saliency.settings",
    "SaliencySource": "advcam.saliency.source",
    "U2Net": "advcam.saliency.u2net",
    "U2NetDetector": "advcam.saliency.detector",
    "load_detector": "advcam.saliency.checkpoint",
    "salient": "advcam.saliency.threshold",
    "save_detector": "advcam.saliency.checkpoint",
}

__all__ = [
    "PLANS",
    "DetectorSettings",
    "FolderMaps",
    "OpenCVDetector",
    "SaliencySettings",
    "SaliencySource",
    "U2Net",
    "U2NetDetector",
    "load_detector",
    "salient",
    "save_detector",
]

if TYPE_CHECKING:
    from advcam.saliency.checkpoint import load_detector, save_detector
    from advcam.saliency.detector import U2NetDetector
    from advcam.saliency.folder import FolderMaps
    from advcam.saliency.opencv import OpenCVDetector
    from advcam.saliency.settings import DetectorSettings, SaliencySettings
    from advcam.saliency.source import SaliencySource
    from advcam.saliency.threshold import salient
    from advcam.saliency.u2net import PLANS, U2Net


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'advcam.saliency' has no attribute {name!r}")
