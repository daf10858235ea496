"""Saliency maps as arrays: sizes and ranges."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32
from PIL import Image


def resized(saliency: Float32[np.ndarray, "h w"], size: tuple[int, int]) -> Float32[np.ndarray, "H W"]:
    """A map at another size, bilinear; a smaller one is averaged."""
    if saliency.shape == size:
        return saliency
    scaled = Image.fromarray(saliency).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(scaled, dtype=np.float32).clip(0, 1)
