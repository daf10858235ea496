"""The holes of all masks of a grey map filled at once. Shape suffixes: H, W height and width of the map."""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import UInt8

from advcam.kernels import compiled


@compiled()
@no_type_check
def _settle_down_right(filled, grey_HW):
    """Lower every pixel by what the one above and the one on its left allow; ``filled`` has the rim."""
    height, width = grey_HW.shape
    for y in range(height):
        above, here, grey = filled[y], filled[y + 1], grey_HW[y]
        left = np.uint8(0)
        for x in range(width):
            left = max(grey[x], min(here[x + 1], min(left, above[x + 1])))
            here[x + 1] = left


@compiled()
@no_type_check
def fill_holes(grey_HW: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """The map whose mask at every level is the map's own mask with its holes filled, and what lies inside them.

    The value of a pixel is the lowest, over all 4-connected paths from it to the outside, of the highest I on the
    path. Sweeps in four directions settle nearly all of a smooth map; what they leave is settled pixel by pixel.
    """
    height, width = grey_HW.shape
    filled = np.zeros((height + 2, width + 2), np.uint8)  # the rim of zeros is the outside
    filled[1:-1, 1:-1] = 255
    _settle_down_right(filled, grey_HW)
    _settle_down_right(filled[::-1, ::-1], grey_HW[::-1, ::-1])
    _settle_down_right(filled[:, ::-1], grey_HW[:, ::-1])
    _settle_down_right(filled[::-1], grey_HW[::-1])
    pending = [
        (y, x) for y in range(1, height + 1) for x in range(1, width + 1) if filled[y, x] > grey_HW[y - 1, x - 1]
    ]
    while pending:
        y, x = pending.pop()
        lowest = min(min(filled[y - 1, x], filled[y + 1, x]), min(filled[y, x - 1], filled[y, x + 1]))
        value = max(grey_HW[y - 1, x - 1], lowest)
        if value < filled[y, x]:
            filled[y, x] = value
            for row, column in ((y - 1, x), (y, x + 1), (y + 1, x), (y, x - 1)):
                inside = 1 <= row <= height and 1 <= column <= width
                if inside and filled[row, column] > max(value, grey_HW[row - 1, column - 1]):
                    pending.append((row, column))
    return filled[1:-1, 1:-1].copy()
