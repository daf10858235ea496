"""Boxes drawn over an image. Pictures are arrays UInt8[H W 3] in RGB, values 0..255."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

# Width of a line and height of the writing, as parts of the image's longer side.
LINE, WRITING = 0.006, 0.028


@dataclass(frozen=True)
class DrawnBox:
    """A box x0, y0, x1, y1 in pixels of the picture, x1 and y1 one past the last, its colour, and what stands at it."""

    box: tuple[float, float, float, float]
    colour: tuple[int, int, int]
    text: str = ""


def box_overlay(image: UInt8[np.ndarray, "H W 3"], boxes: Sequence[DrawnBox]) -> UInt8[np.ndarray, "H W 3"]:
    """The image with boxes, each in its colour on a dark rim, so that it shows on bright and on dark ground.

    >>> drawn = box_overlay(np.zeros((20, 30, 3), np.uint8), [DrawnBox((5, 4, 25, 16), (255, 0, 0))])
    >>> drawn[4, 10].tolist(), drawn[10, 15].tolist()
    ([255, 0, 0], [0, 0, 0])
    """
    picture = Image.fromarray(image)
    canvas = ImageDraw.Draw(picture)
    side = max(image.shape[:2])
    width = max(1, round(LINE * side))
    font = ImageFont.load_default(max(9, round(WRITING * side)))
    for drawn in boxes:
        x0, y0, x1, y1 = drawn.box
        corners = (x0, y0, max(x0, x1 - 1), max(y0, y1 - 1))
        rim = tuple(value // 4 for value in drawn.colour)
        canvas.rectangle(corners, outline=rim, width=width + 1 if side >= 100 else width)
        canvas.rectangle(corners, outline=drawn.colour, width=width)
        if drawn.text:
            _write(canvas, drawn, font, width)
    return np.array(picture)


def _write(
    canvas: ImageDraw.ImageDraw, drawn: DrawnBox, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> None:
    """The text on a plate in the box's colour, inside its upper left corner."""
    place = (max(0.0, drawn.box[0]) + width + 1, max(0.0, drawn.box[1]) + width)
    left, top, right, bottom = canvas.textbbox(place, drawn.text, font=font)
    canvas.rectangle((left - 1, top - 1, right + 1, bottom + 1), fill=drawn.colour)
    bright = sum(part * weight for part, weight in zip(drawn.colour, (0.299, 0.587, 0.114), strict=True)) > 140
    canvas.text(place, drawn.text, fill=(0, 0, 0) if bright else (255, 255, 255), font=font)
