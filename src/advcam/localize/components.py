"""The tree of connected components of a grey map: every component at every level, in one pass over sorted pixels.

A map I of whole numbers 0-255 has the 255 masks {I > L}, L = 0 ... 254. Lowering L only adds pixels, so the
components of all masks form a tree (the max-tree). Adding the pixels brightest first, and joining each with the
neighbours that are already there, visits all of it; a component is written down once, with the run of levels over
which it looks the same. Holes are components too: of the pixels that are not there, added darkest first, until they
reach what lies outside the map.

OpenCV's contour search at each level takes 10.6 times as long (benchmarks/boxes.py): it would be 3.3 times as fast as
the benchmark's program, which searches at a thousand thresholds, and this is 35 times.

Shape suffixes: H, W height and width of the map; N pixels in the order of falling grey; c components.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8, UInt32, UInt64

from advcam.kernels import compiled

LEVELS = 255
"""How many masks {I > L} a map of whole numbers 0-255 has: L = 0 ... 254."""


@dataclass(frozen=True)
class Components:
    """The components of all masks of one map, in no particular order.

    ``low``, ``high``: the component is there, and looks the same, at the levels ``low <= L < high``.
    ``box``: x0, y0, x1, y1 in pixels; x1 and y1 are one past the last pixel.
    ``double_area``: twice the area, in square pixels, of the polygon through the centres of its border pixels, less
    its holes, so that it is a whole number; a single pixel or a straight line has none.
    ``first``: a number that grows with the raster order of its first pixel.
    ``solid``: whether it has no hole.
    """

    low: Int32[np.ndarray, " c"]
    high: Int32[np.ndarray, " c"]
    box: Int32[np.ndarray, "c 4"]
    double_area: Int32[np.ndarray, " c"]
    first: Int32[np.ndarray, " c"]
    solid: Bool[np.ndarray, " c"]


@dataclass(frozen=True)
class SortedPixels:
    """The pixels of a map by falling grey, those of one grey in raster order.

    ``records``: ``near << 48 | y << shift | x``, x and y counted from a rim of one pixel; ``near`` has a bit for each
    of the eight neighbours that come earlier. ``start``: the index at which grey 255 - r starts, for r = 0 ... 256.
    ``peaks``: how many are brighter than their eight neighbours; ``pits``: how many are darker than their four.
    """

    records: UInt64[np.ndarray, " N"]
    start: Int64[np.ndarray, " 257"]
    peaks: int
    pits: int
    shift: int
    height: int


def sort_pixels(grey_HW: UInt8[np.ndarray, "H W"]) -> SortedPixels:
    """What both trees are grown from.

    >>> sort_pixels(np.array([[3, 9]], dtype=np.uint8)).records.tolist() == [1 << 2 | 2, 1 << 50 | 1 << 2 | 1]
    True
    """
    height, width = grey_HW.shape
    shift = max(2, (width + 1).bit_length())  # a power of two, so that x and y are read off without a division
    records, start, peaks, pits = _brightest_first(grey_HW, np.uint64(shift))
    return SortedPixels(records, start, peaks, pits, shift, height)


def outer_components(pixels: SortedPixels) -> Components:
    """The 8-connected components of {I > L} at all levels, those inside the holes of others included.

    >>> found = outer_components(sort_pixels(np.array([[0, 9, 0, 0], [0, 0, 0, 5]], dtype=np.uint8)))
    >>> sorted(zip(found.low.tolist(), found.high.tolist(), found.box.tolist()))
    [(0, 5, [3, 1, 4, 2]), (0, 9, [1, 0, 2, 1])]
    """
    table = _component_tree(pixels.records, pixels.start, pixels.peaks, pixels.shift, pixels.height, False)
    return _unpack(table, pixels.shift)


def holes(pixels: SortedPixels) -> Components:
    """The holes of {I > L} at all levels: 4-connected components of {I <= L} that do not reach the map's border.

    The box is that of the hole itself. ``double_area``, ``first`` and ``solid`` mean nothing here.

    >>> ring = np.full((5, 5), 9, dtype=np.uint8); ring[2, 2] = 4
    >>> found = holes(sort_pixels(ring))
    >>> found.low.tolist(), found.high.tolist(), found.box.tolist()
    ([4], [9], [[2, 2, 3, 3]])
    """
    reversed_start = len(pixels.records) - pixels.start[::-1]
    table = _component_tree(pixels.records[::-1], reversed_start, pixels.pits, pixels.shift, pixels.height, True)
    upside_down = _unpack(table, pixels.shift)
    return replace(upside_down, low=255 - upside_down.high, high=255 - upside_down.low)


def _unpack(table: UInt32[np.ndarray, "c 8"], shift: int) -> Components:
    low, high, x0, x1, first, y1, double_area, euler = table.view(np.int32).T
    # The table counts from a rim of one pixel, and the first pixel is in the first row.
    box = np.stack([x0 - 1, (first >> shift) - 1, x1, y1], axis=1)
    return Components(low=low, high=high, box=box, double_area=double_area, first=first, solid=euler == 1)


# Indices below are unsigned where it counts: numba then leaves out the test for negative ones, a third of the time.
# The ring around a pixel: bit 0 north, 1 north-east, ... 7 north-west; odd bits are corners.


@compiled()
@no_type_check
def _brightest_first(grey_HW, shift):
    """See ``SortedPixels``."""
    height, width = grey_HW.shape
    start = np.zeros(258, np.int64)
    # The rim is less than everything: values are one more than grey.
    rimmed = np.zeros((height + 2, width + 2), np.uint16)
    for y in range(height):
        for x in range(width):
            rimmed[y + 1, x + 1] = np.uint16(grey_HW[y, x]) + np.uint16(1)
            start[np.uint64(257 - grey_HW[y, x])] += 1
    start = np.cumsum(start)  # grey g will be written from start[256 - g] on, and end where g - 1 starts
    records = np.empty(height * width, np.uint64)
    near = np.empty(width + 2, np.uint16)
    peaks = pits = 0
    for y in range(1, height + 1):
        above, here, below = rimmed[y - 1], rimmed[y], rimmed[y + 1]
        for x in range(1, width + 1):  # without a branch: many pixels at once
            value = here[x]
            near[x] = (
                (above[x] >= value)
                | (above[x + 1] >= value) << 1
                | (here[x + 1] > value) << 2
                | (below[x + 1] > value) << 3
                | (below[x] > value) << 4
                | (below[x - 1] > value) << 5
                | (here[x - 1] >= value) << 6
                | (above[x - 1] >= value) << 7
            )
        for x in range(1, width + 1):
            peaks += near[x] == 0
            pits += near[x] & 0b01010101 == 0b01010101
        for x in range(1, width + 1):
            rank = np.uint64(257 - here[x])
            records[start[rank]] = np.uint64(near[x]) << np.uint64(48) | np.uint64(y) << shift | np.uint64(x)
            start[rank] += 1
    return records, np.concatenate((np.zeros(1, np.int64), start[1:257])), peaks, pits


@compiled()
@no_type_check
def _ring_tables(ring, upside_down):
    """What a pixel meets, for each of the 256 sets of neighbours that can be there before it.

    Components are 8-connected, and those of the map upside down 4-connected. Returns how many separate groups they
    form within the ring; the way to a member of each (there are four at most); twice the area that the pixel adds,
    half a square per 2 x 2 block of which it is the third or fourth pixel; and what it adds to the Euler
    characteristic, the number of components less that of holes, as the blocks around it tell (Gray, 1971).
    """
    groups = np.zeros(256, np.uint8)
    member = np.full((256, 4), ring[0], np.uint64)
    double_area = np.zeros(256, np.uint32)
    euler = np.zeros(256, np.int32)
    for index in range(256):
        near = 255 - index if upside_down else index  # upside down those come before that came after
        fourfold = 0
        for k in range(8):
            here, before, two_before = near >> k & 1, near >> (k - 1) % 8 & 1, near >> (k - 2) % 8 & 1
            if k % 2:
                after = near >> (k + 1) % 8 & 1
                double_area[index] += here + before + after >= 2
                fourfold += _euler_of_block(1, here, before, after) - _euler_of_block(0, here, before, after)
            if upside_down:
                starts = k % 2 == 0 and here and not (before and two_before)
            elif k % 2:
                starts = here and not before
            else:
                starts = here and not before and not two_before
            if starts:
                member[index, groups[index]] = ring[k]
                groups[index] += 1
        euler[index] = fourfold // 4
        if groups[index] == 0 and near & 0b01010101 == 0b01010101:
            groups[index] = 1  # a closed ring starts nowhere: to the north, as good as any
    return groups, member, double_area, euler.astype(np.uint32)


@compiled()
@no_type_check
def _euler_of_block(own, diagonal, side, other_side):
    """Four times what a block of 2 x 2 pixels adds to the Euler characteristic of an 8-connected figure."""
    count = own + diagonal + side + other_side
    if count == 2:
        return -2 if own == diagonal else 0
    return (count == 1) - (count == 3)


@compiled()
@no_type_check
def _root(parent, label):
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = parent[label]
    return label


@compiled()
@no_type_check
def _note(table, found, state, root, grey):
    """Write down a component that looks different from this grey down."""
    for k in range(np.uint64(8)):
        table[found, k] = state[root, k]
    table[found, 0] = grey
    state[root, 1] = grey


@compiled()
@no_type_check
def _with_room(table, found, more):
    """The table, or a longer copy of it where it has no room for so many more rows."""
    if found + more <= len(table):
        return table
    longer = np.empty((2 * np.int64(found + more), table.shape[1]), table.dtype)
    longer[:found] = table[:found]
    return longer


@compiled()
@no_type_check
def _component_tree(records, start, births, shift, height, upside_down):
    """All components of the pixels that are there, while they are added one by one.

    ``records``, ``start``: see ``SortedPixels``. ``births``: of how many pixels no neighbour comes earlier.
    ``upside_down``: they are darkest first, greys count from the other end, and outside the map everything is there
    from the beginning; what reaches it is no component any more.
    Returns UInt32[c 8]: low, high, least x, greatest x, first pixel, greatest y, double area, Euler characteristic.
    """
    shift = np.uint64(shift)
    row = 1 << np.int64(shift)
    column, place = np.uint64(row - 1), np.uint64((1 << 48) - 1)
    ring = np.array([-row, 1 - row, 1, row + 1, row, row - 1, -1, -row - 1]).astype(np.uint64)
    groups, member, double_area, euler = _ring_tables(ring, upside_down)

    label = np.zeros((height + 2) * row, np.uint32)  # 0 is the outside
    parent = np.zeros(births + 1, np.uint32)  # of labels: one is born with each local maximum
    state = np.empty((births + 1, 8), np.uint32)  # of root labels, laid out as the result
    table = np.empty((1024, 8), np.uint32)
    labels, found = np.uint32(1), np.uint64(0)

    for step in range(255):
        grey = np.uint32(255 - step)
        table = _with_room(table, found, labels)  # each is written down once at most
        for i in range(np.uint64(start[step]), np.uint64(start[step + 1])):
            record = records[i]
            near, pixel = record >> np.uint64(48), record & place
            x, y, first = np.uint32(pixel & column), np.uint32(pixel >> shift), np.uint32(pixel)
            if groups[near] == 0:
                label[pixel] = parent[labels] = labels
                state[labels, 0], state[labels, 1] = 0, grey
                state[labels, 2], state[labels, 3], state[labels, 4], state[labels, 5] = x, x, first, y
                state[labels, 6], state[labels, 7] = double_area[near], euler[near]
                labels += np.uint32(1)
                continue
            root = _root(parent, label[pixel + member[near, 0]])
            for k in range(np.uint64(1), np.uint64(groups[near])):
                other = _root(parent, label[pixel + member[near, k]])
                if other == root:
                    continue
                if other == 0:
                    root, other = other, root
                if state[other, 1] > grey:
                    _note(table, found, state, other, grey)
                    found += np.uint64(1)
                parent[other] = root
                if root != 0:
                    if state[root, 1] > grey:
                        _note(table, found, state, root, grey)
                        found += np.uint64(1)
                    state[root, 2] = min(state[root, 2], state[other, 2])
                    state[root, 3] = max(state[root, 3], state[other, 3])
                    state[root, 4] = min(state[root, 4], state[other, 4])
                    state[root, 5] = max(state[root, 5], state[other, 5])
                    state[root, 6] += state[other, 6]
                    state[root, 7] += state[other, 7]
            if root == 0:
                continue
            label[pixel] = root
            if state[root, 1] > grey:
                _note(table, found, state, root, grey)
                found += np.uint64(1)
            state[root, 6] += double_area[near]
            state[root, 7] += euler[near]
            # Seldom, so that asking is cheaper than taking the least and the greatest of everything.
            if (x < state[root, 2]) | (x > state[root, 3]) | (first < state[root, 4]) | (y > state[root, 5]):
                state[root, 2] = min(state[root, 2], x)
                state[root, 3] = max(state[root, 3], x)
                state[root, 4] = min(state[root, 4], first)
                state[root, 5] = max(state[root, 5], y)

    table = _with_room(table, found, labels)
    for root in range(np.uint32(1), labels):
        if parent[root] == root:
            table[found] = state[root]
            found += np.uint64(1)
    return table[:found].copy()
