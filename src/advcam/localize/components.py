"""The tree of connected components of a grey map: every component at every level, in one pass over sorted pixels.

A map I of whole numbers 0-255 has the 255 masks {I > L}, L = 0 ... 254. Lowering L only adds pixels, so the
components of all masks form a tree (the max-tree). Adding the pixels brightest first, and joining each with the
neighbours that are already there, visits all of it; a component is written down once, with the run of levels over
which it looks the same. Holes are components too, of the same map turned upside down.

Shape suffixes: H, W height and width of the map; c components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Int32, UInt8, UInt32
from numba import njit

LEVELS = 255
"""How many masks {I > L} a map of whole numbers 0-255 has: L = 0 ... 254."""


@dataclass(frozen=True)
class Components:
    """The components of all masks of one map, in no particular order.

    ``low``, ``high``: the component is there, and looks the same, at the levels ``low <= L < high``.
    ``box``: x0, y0, x1, y1 in pixels; x1 and y1 are one past the last pixel.
    ``double_area``: twice the area, in square pixels, of the polygon through the centres of its border pixels, so
    that it is a whole number; a single pixel or a straight line has none. Right where the component has no holes.
    ``first``: a number that grows with the raster order of its first pixel.
    """

    low: Int32[np.ndarray, " c"]
    high: Int32[np.ndarray, " c"]
    box: Int32[np.ndarray, "c 4"]
    double_area: Int32[np.ndarray, " c"]
    first: Int32[np.ndarray, " c"]


def outer_components(grey_HW: UInt8[np.ndarray, "H W"]) -> Components:
    """The 8-connected components of {I > L} at all levels, those inside the holes of others included.

    >>> import numpy as np
    >>> found = outer_components(np.array([[0, 9, 0, 0], [0, 0, 0, 5]], dtype=np.uint8))
    >>> sorted(zip(found.low.tolist(), found.high.tolist(), found.box.tolist()))
    [(0, 5, [3, 1, 4, 2]), (0, 9, [1, 0, 2, 1])]
    """
    return _unpack(_component_tree(grey_HW, np.zeros_like(grey_HW), True))


def holes(grey_HW: UInt8[np.ndarray, "H W"], filled_HW: UInt8[np.ndarray, "H W"]) -> Components:
    """The holes of {I > L} at all levels: 4-connected components of {I <= L} that do not reach the map's border.

    ``filled_HW`` is :func:`fill_holes` of the map: a pixel is in a hole exactly at the levels I <= L < filled.
    The box is that of the hole itself. ``double_area`` and ``first`` mean nothing here.
    """
    upside_down = _unpack(_component_tree(255 - grey_HW, 255 - filled_HW, False))
    return Components(
        low=255 - upside_down.high,
        high=255 - upside_down.low,
        box=upside_down.box,
        double_area=upside_down.double_area,
        first=upside_down.first,
    )


@njit(cache=True)
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


@njit(cache=True)
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


def _unpack(table: UInt32[np.ndarray, "c 8"]) -> Components:
    table = table.view(np.int32)
    box = table[:, 2:6] - np.array([1, 1, 0, 0], dtype=np.int32)  # the table counts from a rim of one pixel
    return Components(low=table[:, 0], high=table[:, 1], box=box, double_area=table[:, 6], first=table[:, 7])


# Indices below are unsigned throughout: numba then leaves out the test for negative ones, a third of the time.
# The ring around a pixel: bit 0 north, 1 north-east, ... 7 north-west; odd bits are corners.


@njit(cache=True)
@no_type_check
def _ring_tables(ring, corners):
    """What a pixel meets, for each of the 256 sets of neighbours that can be there before it.

    Returns how many separate groups they form within the ring, the way to a member of each (there are four at most),
    and twice the area that the pixel adds: half a square per 2x2 block of which it is the third or fourth pixel.
    """
    groups = np.zeros(256, np.uint64)
    member = np.full((256, 4), ring[0], np.uint64)
    double_area = np.zeros(256, np.uint32)
    for near in range(256):
        for k in range(8):
            here, before, two_before = near >> k & 1, near >> (k - 1) % 8 & 1, near >> (k - 2) % 8 & 1
            if k % 2:
                double_area[near] += here + before + (near >> (k + 1) % 8 & 1) >= 2
                starts = corners and here and not before
            elif corners:
                starts = here and not before and not two_before
            else:
                starts = here and not (before and two_before)
            if starts:
                member[near, groups[near]] = ring[k]
                groups[near] += 1
        if groups[near] == 0 and near & 0b01010101 == 0b01010101:
            groups[near] = 1  # a closed ring starts nowhere: to the north, as good as any
    return groups, member, double_area


@njit(cache=True)
@no_type_check
def _brightest_first(grey_HW, floor_HW, shift):
    """The pixels with grey > floor by falling grey, as ``y << shift | x`` counted from the rim.

    Also the index at which each grey ends: that of g at position 256 - g.
    """
    height, width = grey_HW.shape
    end = np.zeros(258, np.uint32)
    for y in range(height):
        for x in range(width):
            end[np.uint64(257 - grey_HW[y, x])] += grey_HW[y, x] > floor_HW[y, x]
    end = np.cumsum(end).astype(np.uint32)
    pixels = np.empty(end[257], np.uint32)
    for y in range(height):
        for x in range(width):
            if grey_HW[y, x] > floor_HW[y, x]:
                rank = np.uint64(256 - grey_HW[y, x])
                pixels[end[rank]] = (y + 1) << shift | (x + 1)
                end[rank] += 1
    return pixels, end


@njit(cache=True)
@no_type_check
def _grow(state, root, x0, y0, x1, y1, double_area, first):
    state[root, 2] = min(state[root, 2], x0)
    state[root, 3] = min(state[root, 3], y0)
    state[root, 4] = max(state[root, 4], x1)
    state[root, 5] = max(state[root, 5], y1)
    state[root, 6] += double_area
    state[root, 7] = min(state[root, 7], first)


@njit(cache=True)
@no_type_check
def _component_tree(grey_HW, floor_HW, corners):
    """All components of {grey > L}, where a pixel counts only at its levels floor <= L < grey.

    ``corners``: 8-connected if true, else 4-connected. The floor must be such that a pixel that is gone never
    touches one that is still there: 0 everywhere, or the filled map upside down.
    Returns UInt32[c 8]: low, high, least x and y, greatest x and y (counted from the rim), double area, first.
    """
    height, width = grey_HW.shape
    shift = np.uint64(1)
    while 1 << shift < width + 2:
        shift += np.uint64(1)
    row = 1 << np.int64(shift)  # a power of two, so that x and y are read off an index without a division
    column = np.uint64(row - 1)
    pixels, end = _brightest_first(grey_HW, floor_HW, shift)
    ring = np.array([-row, 1 - row, 1, row + 1, row, row - 1, -1, -row - 1]).astype(np.uint64)
    groups, member, double_area = _ring_tables(ring, corners)

    none = np.uint32(0xFFFFFFFF)
    unborn = np.array([0, 0, none, none, 0, 0, 0, none], np.uint32)
    there = np.zeros((height + 2) * row, np.uint8)
    label = np.empty((height + 2) * row, np.uint32)
    parent = np.empty(len(pixels), np.uint32)  # of labels: one is born with each local maximum
    state = np.empty((len(pixels), 8), np.uint32)  # of root labels, laid out as the result
    table = np.empty((len(pixels), 8), np.uint32)
    labels = found = 0

    for grey in range(255, 0, -1):
        for pixel in pixels[end[255 - grey] : end[256 - grey]]:
            near = np.uint64(0)
            for k in range(np.uint64(8)):
                near |= np.uint64(there[pixel + ring[k]]) << k
            there[pixel] = 1
            x, y = pixel & column, pixel >> shift
            root = none
            for k in range(groups[near]):
                other = label[pixel + member[near, k]]
                while parent[other] != other:
                    parent[other] = parent[parent[other]]
                    other = parent[other]
                if other == root:
                    continue
                if state[other, 1] > grey:  # from here down it looks different
                    table[found] = state[other]
                    table[found, 0] = grey
                    found += 1
                    state[other, 1] = grey
                if root == none:
                    root = other
                else:
                    parent[other] = root
                    old = state[other]
                    _grow(state, root, old[2], old[3], old[4], old[5], old[6], old[7])
            if root == none:
                root = np.uint32(labels)
                labels += 1
                parent[root] = root
                state[root] = unborn
                state[root, 0] = floor_HW[np.int64(y) - 1, np.int64(x) - 1]
                state[root, 1] = grey
            _grow(state, root, x, y, x, y, double_area[near], pixel)
            label[pixel] = root

    for root in range(labels):
        if parent[root] == root:
            table[found] = state[root]
            found += 1
    return table[:found].copy()
