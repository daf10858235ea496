"""From localization maps to pseudo masks: dense CRF, random walks, seeds."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Public names and where they live, imported on first use: the settings must be readable without torch.
_HOMES = {
    "CRFSettings": "advcam.refine.crf_settings",
    "crf_labels": "advcam.refine.crf",
    "dense_crf": "advcam.refine.crf",
    "regions": "advcam.refine.region_vote",
    "unary_from_labels": "advcam.refine.unary",
    "unary_from_scores": "advcam.refine.unary",
}
_MODULES = ("irn", "psa")

__all__ = ["CRFSettings", "crf_labels", "dense_crf", "regions", "unary_from_labels", "unary_from_scores"]

if TYPE_CHECKING:
    from advcam.refine.crf import crf_labels, dense_crf
    from advcam.refine.crf_settings import CRFSettings
    from advcam.refine.region_vote import regions
    from advcam.refine.unary import unary_from_labels, unary_from_scores


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _MODULES:
        return import_module(f"advcam.refine.{name}")
    raise AttributeError(f"module 'advcam.refine' has no attribute {name!r}")
