"""Segmentation networks trained on masks, and what they say of new images."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Imported on first use, so that the settings can be read without loading torch.
_HOMES = {
    "DeepLab": "advcam.segment.deeplab",
    "InferenceSettings": "advcam.segment.inference_settings",
    "SegmentSettings": "advcam.segment.settings",
    "Segmenter": "advcam.segment.inference",
    "balanced_cross_entropy": "advcam.segment.loss",
    "export_onnx": "advcam.segment.onnx",
    "load": "advcam.segment.checkpoint",
    "save_network": "advcam.segment.checkpoint",
}

__all__ = [
    "DeepLab",
    "InferenceSettings",
    "SegmentSettings",
    "Segmenter",
    "balanced_cross_entropy",
    "export_onnx",
    "load",
    "save_network",
]

if TYPE_CHECKING:
    from advcam.segment.checkpoint import load, save_network
    from advcam.segment.deeplab import DeepLab
    from advcam.segment.inference import Segmenter
    from advcam.segment.inference_settings import InferenceSettings
    from advcam.segment.loss import balanced_cross_entropy
    from advcam.segment.onnx import export_onnx
    from advcam.segment.settings import SegmentSettings


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'advcam.segment' has no attribute {name!r}")
