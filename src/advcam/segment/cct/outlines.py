"""Outer borders of a label map's objects: how long each is, and how far it reaches.

CCT cuts rectangles out of objects whose border has more than 50 corners. What counts as a corner is OpenCV's: a
point of the border, followed from pixel to pixel, at which the direction changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from advcam.kernels import compiled

_EIGHT = np.ones((3, 3), bool)
# East, then against the clock: rows go down.
_ROWS = np.array([0, -1, -1, -1, 0, 1, 1, 1])
_COLUMNS = np.array([1, 1, 0, -1, -1, -1, 0, 1])


@dataclass(frozen=True, slots=True)
class Outline:
    """The outer border of one object: its corners, and its first and last row and column, in pixels."""

    corners: int
    top: int
    bottom: int
    left: int
    right: int


def outlines(foreground_HW: Bool[np.ndarray, "H W"]) -> list[Outline]:
    """The outer borders of all 8-connected objects, in raster order of their first pixels.

    Objects in the holes of others have none, as with OpenCV's ``RETR_EXTERNAL``; the corners are those that its
    ``CHAIN_APPROX_SIMPLE`` stores.

    >>> square = np.zeros((6, 8), bool)
    >>> square[1:5, 2:7] = True
    >>> outlines(square)
    [Outline(corners=4, top=1, bottom=4, left=2, right=6)]
    """
    solid = ndimage.binary_fill_holes(foreground_HW)
    labels, _ = ndimage.label(solid, _EIGHT)
    padded = np.pad(labels, 1)
    found = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        first = columns.start + int(np.argmax(labels[rows.start, columns] == number))
        corners = int(_corners(padded, rows.start + 1, first + 1))
        found.append(Outline(corners, rows.start, rows.stop - 1, columns.start, columns.stop - 1))
    return found


@compiled()
@no_type_check
def _corners(labels, row, column):
    """Changes of direction along the outer border of the object whose first pixel in raster order is given."""
    number = labels[row, column]
    # The last pixel of the round: the first one met clockwise from the west, where the outside is.
    last = -1
    for turn in range(8):
        direction = (4 - turn) % 8
        if labels[row + _ROWS[direction], column + _COLUMNS[direction]] == number:
            last = direction
            break
    if last < 0:
        return 1
    end_row, end_column = row + _ROWS[last], column + _COLUMNS[last]
    here_row, here_column, back, previous, corners = row, column, last, -1, 0
    while True:
        # Against the clock from where we came.
        direction = (back + 1) % 8
        while labels[here_row + _ROWS[direction], here_column + _COLUMNS[direction]] != number:
            direction = (direction + 1) % 8
        corners += direction != previous
        previous = direction
        next_row, next_column = here_row + _ROWS[direction], here_column + _COLUMNS[direction]
        if next_row == row and next_column == column and here_row == end_row and here_column == end_column:
            return corners
        here_row, here_column, back = next_row, next_column, (direction + 4) % 8
