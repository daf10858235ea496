"""Small pictures inside the page, as data addresses."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

# WebP quality: at 80 a picture of 320 pixels takes some ten kilobytes and shows no blocks at twice its size.
QUALITY = 80


@dataclass(frozen=True)
class Picture:
    """A picture of the page: its address holds its data."""

    caption: str
    description: str
    """For those who cannot see it, and beside it when it is enlarged."""
    address: str
    width: int
    height: int


def picture(caption: str, description: str, pixels: UInt8[np.ndarray, "H W 3"]) -> Picture:
    """A picture of the page from its pixels.

    >>> picture("image", "a grey field", np.full((2, 3, 3), 128, np.uint8)).address[:23]
    'data:image/webp;base64,'
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=QUALITY, method=4)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    height, width = pixels.shape[:2]
    return Picture(caption, description, f"data:image/webp;base64,{data}", width, height)


def reduced_size(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """Height and width with the longer side at most ``long_side``, at least one pixel each.

    >>> reduced_size((375, 500), 320), reduced_size((90, 120), 320)
    ((240, 320), (90, 120))
    """
    factor = min(1.0, long_side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def reduce_picture(image: UInt8[np.ndarray, "H W 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """A picture at another height and width, smoothed."""
    return np.array(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.LANCZOS))
