"""Masks as outlines: exact rings along the edges of pixels, rings through their centres, and parts without holes."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from PIL import Image, ImageDraw
from scipy import ndimage

from advcam.data.outlines import ring_inside

# Of any length: functions here shorten rings.
Ring = Int[np.ndarray, "_ 2"]
# Steps of a walk with the object on the right hand: right, down, left, up, in x and y.
_STEPS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])


@dataclass(frozen=True)
class Part:
    """One connected part of a mask (4-neighbours): its outline, and those of its holes, as corners x, y.

    Each ring is open: its last corner is joined to its first.
    """

    outer: Ring
    holes: tuple[Ring, ...]


def parts(mask: Bool[np.ndarray, "H W"], *, through_centres: bool = False) -> list[Part]:
    """The connected parts of a mask in the order of their first pixels.

    Args:
        mask: the object.
        through_centres: False: corners lie between pixels, from 0 to W and H, and the area of a part is its number of
            pixels. True: corners are the numbers of the border's pixels, as ``cv2.findContours`` gives them, for
            programs that paint the outline along with the inside.

    >>> found = parts(np.array([[1, 1, 0], [1, 1, 0]], bool))
    >>> found[0].outer.tolist(), parts(np.array([[1, 1, 1]], bool), through_centres=True)[0].outer.tolist()
    ([[0, 0], [2, 0], [2, 2], [0, 2]], [[2, 0], [0, 0]])
    """
    labels, count = ndimage.label(mask)
    outer: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = {}
    for corners, pixels in _walks(mask):
        row, column = pixels[0, 1], pixels[0, 0]
        part = int(labels[row, column])
        ring = _without_straight(_without_repeats(pixels) if through_centres else corners)
        if _signed_area(corners) > 0:
            outer[part] = ring
        else:
            holes.setdefault(part, []).append(ring)
    return [Part(outer[part], tuple(holes.get(part, ()))) for part in range(1, count + 1)]


def without_holes(mask: Bool[np.ndarray, "H W"]) -> list[Bool[np.ndarray, "H W"]]:
    """Masks without holes that are the given one together: a part with a hole is cut down the middle of the hole.

    >>> ring = np.ones((3, 3), bool)
    >>> ring[1, 1] = False
    >>> [int(piece.sum()) for piece in without_holes(ring)]
    [3, 1, 1, 3]
    """
    labels, count = ndimage.label(mask)
    boxes = ndimage.find_objects(labels)
    found: list[Bool[np.ndarray, "H W"]] = []
    for part in range(1, count + 1):
        box = boxes[part - 1]
        own = labels[box] == part
        open_, _ = ndimage.label(np.pad(~own, 1, constant_values=True), np.ones((3, 3)))
        hole = (open_[1:-1, 1:-1] != open_[0, 0]) & ~own
        if not hole.any():
            found.append(_placed(own, box, mask.shape))
            continue
        columns = np.flatnonzero(hole.any(axis=0))
        # Two cuts, on either side of one column of the hole: its pieces above and below fall apart.
        at = int(columns[len(columns) // 2])
        for first, last in ((0, at), (at, at + 1), (at + 1, own.shape[1])):
            piece = np.zeros_like(own)
            piece[:, first:last] = own[:, first:last]
            if piece.any():
                found += [_placed(below, box, mask.shape) for below in without_holes(piece)]
    return found


def paint(rings: Sequence[np.ndarray], size: tuple[int, int], *, border: bool = False) -> Bool[np.ndarray, "H W"]:
    """The pixels whose centre lies in an odd number of the rings; with ``border`` also those the outlines run through.

    >>> paint([np.array([[0, 0], [2, 0], [2, 2], [0, 2]])], (3, 3)).sum()
    np.int64(4)
    """
    inside = np.zeros(size, bool)
    if not border:
        for ring in rings:
            inside ^= ring_inside(array("d", np.asarray(ring, np.float64).ravel()), size)
        return inside
    canvas = Image.new("1", size[::-1])
    for ring in rings:
        # PIL takes two points for a line and one for a dot, as a polygon of a part one pixel wide has them.
        points = [tuple(map(float, point)) for point in ring]
        ImageDraw.Draw(canvas).polygon(points if len(points) > 1 else points * 2, fill=1, outline=1)
    return np.array(canvas)


def _placed(piece: Bool[np.ndarray, "h w"], box: tuple[slice, ...], shape: tuple[int, ...]) -> Bool[np.ndarray, "H W"]:
    whole = np.zeros(shape, bool)
    whole[box] = piece
    return whole


def _walks(mask: Bool[np.ndarray, "H W"]) -> list[tuple[Ring, Ring]]:
    """Closed walks along the object's edge, it on the right: the corner each step leaves, and the pixel beside it."""
    height, width = mask.shape
    padded = np.pad(mask, 1)
    # For each direction: pixels that have nothing on that step's left hand, and the corner at which the step begins.
    sides = ((padded[:-2, 1:-1], 0, 0), (padded[1:-1, 2:], 1, 0), (padded[2:, 1:-1], 1, 1), (padded[1:-1, :-2], 0, 1))
    starts, pixels, directions = [], [], []
    for number, (beside, dx, dy) in enumerate(sides):
        rows, columns = np.nonzero(mask & ~beside)
        starts.append((rows + dy) * (width + 1) + columns + dx)
        pixels.append(np.stack((columns, rows), axis=1))
        directions.append(np.full(len(rows), number))
    start, direction = np.concatenate(starts), np.concatenate(directions)
    pixel = np.concatenate(pixels)
    if not len(start):
        return []
    leaving = np.full((4, (height + 1) * (width + 1)), -1)
    leaving[direction, start] = np.arange(len(start))
    end = start + _STEPS[direction, 0] + _STEPS[direction, 1] * (width + 1)
    # Where two parts touch at a corner the walk turns right and stays with its own.
    after = np.full(len(start), -1)
    for turn in (3, 0, 1):
        found = leaving[(direction + turn) % 4, end]
        after = np.where(found >= 0, found, after)
    follow = after.tolist()
    seen = bytearray(len(follow))
    walks = []
    for begin in np.lexsort(np.stack((direction, pixel[:, 0], pixel[:, 1]))).tolist():
        if seen[begin]:
            continue
        walk, at = [], begin
        while not seen[at]:
            seen[at] = 1
            walk.append(at)
            at = follow[at]
        steps = np.asarray(walk)
        corners = np.stack((start[steps] % (width + 1), start[steps] // (width + 1)), axis=1)
        walks.append((corners, pixel[steps]))
    return walks


def _without_repeats(points: Ring) -> Ring:
    kept = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
    return kept if len(kept) else points[:1]


def _without_straight(points: Ring) -> Ring:
    """The corners at which the ring changes its direction."""
    if len(points) < 3:
        return points
    into, out = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = (into[:, 0] * out[:, 1] != into[:, 1] * out[:, 0]) | ((into * out).sum(axis=1) < 0)
    return points[turns]


def _signed_area(points: Ring) -> int:
    """Twice the area of a ring, above zero where it runs clockwise on the screen."""
    x, y = points[:, 0], points[:, 1]
    return int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
