"""Outlines and runs of COCO drawn as pixels. A pixel belongs to an outline that its centre lies in."""

from __future__ import annotations

from array import array

import numpy as np
from jaxtyping import Bool, UInt8

from advcam.data.record import Polygons

# Besides 0 for the background and 255 for ignore.
MAX_CLASSES = 254


def draw(polygons: Polygons) -> UInt8[np.ndarray, "H W"]:
    """The indexed mask: 0 background, ``class_index + 1`` inside, later shapes over earlier ones.

    Raises:
        ValueError: the lengths of a run do not add up to the size, or there are more classes than 8 bits can hold.

    >>> square = array("f", (1, 1, 3, 1, 3, 3, 1, 3))
    >>> draw(Polygons(rings=((4, square),), size=(4, 4)))[1].tolist()
    [0, 5, 5, 0]
    """
    highest = max((class_index for class_index, _ in (*polygons.runs, *polygons.rings)), default=0)
    if highest >= MAX_CLASSES:
        raise ValueError(f"it shows class number {highest + 1}, and a mask can hold {MAX_CLASSES} classes")
    mask = np.zeros(polygons.size, np.uint8)
    for class_index, lengths in polygons.runs:
        mask[runs_inside(lengths, polygons.size)] = class_index + 1
    for class_index, coordinates in polygons.rings:
        mask[ring_inside(coordinates, polygons.size)] = class_index + 1
    return mask


def ring_inside(coordinates: array, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """The pixels whose centre lies in the ring by the even-odd rule, so that a bridge run twice leaves no trace.

    >>> ring_inside(array("f", (0, 0, 4, 0, 0, 4)), (4, 4)).sum(axis=1).tolist()
    [3, 2, 1, 0]
    """
    height, width = size
    corners = np.asarray(coordinates, np.float64).reshape(-1, 2)
    starts, ends = corners, np.roll(corners, -1, axis=0)
    # From top to bottom, so that an edge run both ways crosses each row at exactly one place.
    down = (starts[:, 1] < ends[:, 1])[:, None]
    (x0, y0), (x1, y1) = np.where(down, starts, ends).T, np.where(down, ends, starts).T
    first = np.clip(np.ceil(y0 - 0.5), 0, height).astype(np.int64)
    rows_crossed = np.maximum(np.clip(np.ceil(y1 - 0.5), 0, height).astype(np.int64) - first, 0)
    edge = np.repeat(np.arange(len(corners)), rows_crossed)
    rows = np.arange(len(edge)) - np.repeat(np.cumsum(rows_crossed) - rows_crossed, rows_crossed) + first[edge]
    x = x0[edge] + (rows + 0.5 - y0[edge]) * (x1 - x0)[edge] / (y1 - y0)[edge]
    columns = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
    crossings = np.zeros((height, width + 1), np.int32)
    np.add.at(crossings, (rows, columns), 1)
    return np.cumsum(crossings, axis=1)[:, :width] % 2 == 1


def runs_inside(lengths: array, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """The pixels of the second, fourth, ... run, counted down the columns.

    Raises:
        ValueError: the lengths do not add up to the size.

    >>> runs_inside(array("I", (1, 2, 3)), (2, 3)).astype(int).tolist()
    [[0, 1, 0], [1, 0, 0]]
    """
    height, width = size
    counts = np.asarray(lengths, np.int64)
    if counts.sum() != height * width:
        raise ValueError(f"its run lengths add up to {counts.sum()}, not to {width} x {height} pixels")
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T


def decode_runs(text: str) -> array:
    """Run lengths from COCO's compressed string.

    Each character carries five bits (low ones first) and a sixth that says whether the number goes on; numbers are
    signed, and from the fourth on they are differences to the number two places earlier.

    Raises:
        ValueError: the string is broken off or holds a negative length.

    >>> decode_runs("122").tolist()
    [1, 2, 2]
    """
    lengths: list[int] = []
    value = shift = 0
    for byte in text.encode("ascii"):
        code = byte - 48
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    if shift or any(length < 0 for length in lengths):
        raise ValueError("its compressed run lengths are broken")
    return array("I", lengths)
