"""How a trained network looks at whole pictures; free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass

from advcam.bounds import check
from advcam.errors import SettingsError


@dataclass(frozen=True)
class InferenceSettings:
    """Scales, mirror image and CRF at test time. The defaults are DeepLab-v2's without CRF.

    CCT's results are with ``scales=(0.5, 0.75, 1.0, 1.25, 1.5), flip=True, crf=True``.
    """

    scales: tuple[float, ...] = (1.0,)
    """Factors of the picture's size; the logits are averaged over them."""
    flip: bool = False
    """Average with the mirror image as well."""
    crf: bool = False
    """Refine by the dense CRF with DeepLab-v2's parameters (position 1 and 67 pixels, colour 3 levels)."""
    max_side: int = 1280
    """Pictures with a longer side, in pixels, are reduced to it, and their labels enlarged."""
    window: int = 0
    """Pictures with a longer side than this, in pixels, are labelled at their own size in overlapping windows of it,
    whose probabilities are averaged; 0: such pictures are reduced."""

    def __post_init__(self) -> None:
        check(self, "", scales="(0, inf)", max_side="[32, inf)")
        if not self.scales:
            raise SettingsError("scales is empty: name one factor or more")
        if self.window != 0 and self.window < 64:
            raise SettingsError(f"window must be 0 or at least 64 pixels, not {self.window}")
