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


def min_max(saliency: Float32[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """A map from its minimum to its maximum brought to [0, 1]; one of a single value becomes zeros.

    >>> min_max(np.array([[2.0, 3.0, 4.0]], np.float32)).tolist(), min_max(np.ones((1, 2), np.float32)).tolist()
    ([[0.0, 0.5, 1.0]], [[0.0, 0.0]])
    """
    low, high = float(saliency.min()), float(saliency.max())
    return np.zeros_like(saliency) if high == low else (saliency - low) / (high - low)
