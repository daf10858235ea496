"""Outlines and runs of COCO drawn as pixels, outlines by COCO's own program."""

from __future__ import annotations

from array import array

import numpy as np
from jaxtyping import Bool, UInt8

from advcam.data.record import Polygons

# Besides 0 for the background and 255 for what does not count, which is drawn where the class is IGNORED_CLASS.
MAX_CLASSES = 254
IGNORED_CLASS, IGNORED_VALUE = -1, 255
# COCO's largest outline has some thousand corners. Its program takes memory for each step along an outline.
MOST_CORNERS = 100_000
_MOST_STEPS = 2**26
# Bits of a number in COCO's compressed string; each character has five of them.
_MOST_CHARACTERS = 8


def draw(polygons: Polygons) -> UInt8[np.ndarray, "H W"]:
    """The indexed mask: 0 background, ``class_index + 1`` inside, later shapes over earlier ones.

    Raises:
        ValueError: the lengths of a run do not add up to the size, an outline is far too long for it, or there are
            more classes than 8 bits can hold.

    >>> square = array("d", (1, 1, 3, 1, 3, 3, 1, 3))
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
        value = IGNORED_VALUE if class_index == IGNORED_CLASS else class_index + 1
        mask[ring_inside(coordinates, polygons.size)] = value
    return mask


def ring_inside(coordinates: array, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """The pixels inside a ring, as pycocotools draws them.

    Raises:
        ValueError: a corner lies far outside of the image, or the outline is longer than any object's.

    >>> ring_inside(array("d", (0, 0, 4, 0, 0, 4)), (4, 4)).sum(axis=1).tolist()
    [3, 2, 1, 0]
    """
    from pycocotools import mask as coco

    height, width = size
    corners = np.asarray(coordinates, np.float64).reshape(-1, 2)
    reach = 10 * max(size) + 100
    if np.abs(corners).max() > reach:
        raise ValueError(f"a corner of an outline lies more than {reach} pixels away")
    if 5 * np.abs(np.diff(corners, axis=0, append=corners[:1])).max(axis=1).sum() > _MOST_STEPS:
        raise ValueError("an outline is longer than that of any object")
    return coco.decode(coco.frPyObjects([list(coordinates)], height, width))[..., 0] > 0


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


def decode_runs(text: str, pixels: int) -> array:
    """Run lengths from COCO's compressed string, for a mask of so many pixels.

    Each character carries five bits (low ones first) and a sixth that says whether the number goes on; numbers are
    signed, and from the fourth on they are differences to the number two places earlier.

    Raises:
        ValueError: the string is broken off, or holds a negative length or more runs than there are pixels.

    >>> decode_runs("122", 5).tolist()
    [1, 2, 2]
    """
    if not text:
        return array("I")
    codes = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(codes & 32 == 0)
    if codes.min() < 0 or codes.max() > 63 or codes[-1] & 32 or len(ends) > pixels + 2:
        raise ValueError("its compressed run lengths are broken")
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    if place.max() >= _MOST_CHARACTERS:
        raise ValueError("its compressed run lengths hold a number that no image has")
    values = np.add.reduceat((codes & 31) << 5 * place, starts)
    values -= np.where(codes[ends] & 16, 1 << 5 * (place[ends] + 1), 0)
    lengths = values.copy()
    lengths[1::2] = np.cumsum(values[1::2])
    lengths[2::2] = np.cumsum(values[2::2])
    if lengths.min() < 0 or lengths.max() > pixels:
        raise ValueError("its compressed run lengths are broken")
    return array("I", lengths.tolist())
