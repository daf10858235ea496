"""All images of a run as small pictures that can be sorted, filtered and paged through."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from markupsafe import Markup
from PIL import Image

from advcam.data.images import open_picture

# Longer side of a small picture, in pixels, and JPEG's quality: some four kilobytes each.
SIDE, QUALITY = 160, 70


@dataclass(frozen=True)
class Tile:
    """One image in the list of all."""

    name: str
    split: str
    classes: tuple[str, ...]
    address: str
    """Of the small picture: its data."""
    iou: float | None = None
    """Of its mask with its ground truth, where there is one that is no correction of it."""
    doubt: float | None = None
    reasons: tuple[str, ...] = ()
    decision: str = ""
    flagged: bool = False


def small_picture(pixels: UInt8[np.ndarray, "H W 3"] | Path) -> str:
    """A picture, or one in a file, reduced, as a data address."""
    image = open_picture(pixels) if isinstance(pixels, Path) else Image.fromarray(pixels)
    with image:
        # Decodes a large JPEG at a fraction of its size.
        image.draft("RGB", (2 * SIDE, 2 * SIDE))
        image.thumbnail((SIDE, SIDE))
        file = io.BytesIO()
        image.convert("RGB").save(file, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def image_iou(mask: UInt8[np.ndarray, "H W"], truth: UInt8[np.ndarray, "H W"]) -> float | None:
    """Mean IoU of the classes that either has, without background and what the truth sets aside.

    >>> image_iou(np.array([[1, 1, 0]], np.uint8), np.array([[1, 0, 0]], np.uint8))
    0.5
    """
    counted = truth != 255
    found = []
    for value in np.union1d(np.unique(mask), np.unique(truth)):
        if value not in (0, 255):
            first, second = (mask == value) & counted, (truth == value) & counted
            if union := int((first | second).sum()):
                found.append(int((first & second).sum()) / union)
    return sum(found) / len(found) if found else None


def as_data(tiles: Sequence[Tile]) -> Markup:
    """The tiles as JSON that stands in a script element: nothing in a name can end it."""
    text = json.dumps([vars(tile) for tile in tiles], separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
