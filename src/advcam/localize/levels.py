"""Boxes of a score map at grey levels, as the WSOL benchmark's program finds them, without a contour search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import SupportsIndex, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int, Int32, UInt8
from torch import Tensor

from advcam.data.pixels import takes_arrays
from advcam.errors import DataError, SettingsError
from advcam.kernels import compiled
from advcam.localize.components import LEVELS, Components, holes, outer_components, sort_pixels
from advcam.localize.filling import fill_holes
from advcam.localize.settings import Mode


@dataclass(frozen=True)
class Contours:
    """Contours of the masks of one map: each is there at the levels ``low <= L < high``, with its ``box``."""

    low: Int32[np.ndarray, " c"]
    high: Int32[np.ndarray, " c"]
    box: Int32[np.ndarray, "c 4"]


@takes_arrays
def boxes(score_map: Float[Tensor, "h w"], level: SupportsIndex, mode: Mode = "all") -> Int[Tensor, "m 4"]:
    """The boxes of the mask {trunc(255 s) > L} of a score map s, one for every contour or for the largest alone.

    A contour is the border of an 8-connected component, wherever it lies, or of a hole in one, seen from the
    component (so the hole and one pixel around it). The largest encloses the greatest polygon area; of several
    equal ones, the last to start in raster order.

    Args:
        score_map: values in [0, 1]; see :mod:`advcam.localize.normalize`.
        level: L, a whole number 0-254; :func:`grey_level` turns a CAM threshold tau into it.
        mode: ``"all"`` contours (MaxBoxAccV2), or only the ``"largest"`` (MaxBoxAcc, V1).

    Returns:
        x0, y0, x1, y1 in pixels of the map, in lexicographic order. As in the benchmark x1 and y1 are one past the
        last pixel, except at the right and lower border, where they are the last pixel. An empty mask gives the
        single box 0, 0, 0, 0.

    Raises:
        DataError: the map is empty or not within [0, 1].
        SettingsError: there is no such level or mode.

    Source: wsolevaluation (Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", 2020).

    >>> import torch
    >>> score_map = torch.zeros(4, 6)
    >>> score_map[1:3, 1:3], score_map[0, 5] = 1.0, 0.5
    >>> boxes(score_map, 51).tolist()
    [[1, 1, 3, 3], [5, 0, 5, 1]]
    """
    return boxes_at_levels(score_map, [level], mode)[0]


def boxes_at_levels(
    score_map: Float[Tensor, "h w"], levels: Sequence[SupportsIndex], mode: Mode = "all"
) -> list[Int[Tensor, "_ 4"]]:
    """:func:`boxes` at several levels, from one pass over the tree of components.

    >>> import torch
    >>> [found.tolist() for found in boxes_at_levels(torch.tensor([[0.0, 0.2, 1.0]]), [0, 51, 254])]
    [[[1, 0, 2, 0]], [[2, 0, 2, 0]], [[2, 0, 2, 0]]]
    """
    if mode not in ("all", "largest"):
        raise SettingsError(f"the mode of boxes must be 'all' or 'largest', not {mode!r}")
    for level in levels:
        if not isinstance(level, SupportsIndex) or not 0 <= index(level) < LEVELS:
            raise SettingsError(
                f"a grey level must be a whole number 0-{LEVELS - 1}, not {level!r}; "
                "grey_level(score_map, threshold) gives the level of a threshold in [0, 1)"
            )
    grey_HW = quantize(score_map)
    contours = all_contours(grey_HW) if mode == "all" else largest_contours(grey_HW)
    found = [contours.box[(contours.low <= level) & (level < contours.high)] for level in map(index, levels)]
    found = [box[np.lexsort(box.T[::-1])] if len(box) else np.zeros((1, 4), dtype=np.int32) for box in found]
    return [torch.from_numpy(box.astype(np.int64)).to(score_map.device) for box in found]


def grey_level(score_map: Float[Tensor, "h w"], threshold: float) -> int:
    """The grey level of a CAM threshold: L = trunc(tau max I), with I = trunc(255 s) and tau in [0, 1).

    Raises:
        DataError: the map is empty or not within [0, 1].
        SettingsError: the threshold is not in [0, 1).

    >>> import torch
    >>> grey_level(torch.tensor([[0.0, 0.8]]), 0.25)
    51
    """
    if not 0 <= threshold < 1:
        raise SettingsError(f"a CAM threshold must be in [0, 1), not {threshold!r}")
    return int(threshold * int(quantize(score_map).max()))


def quantize(score_map: Float[Tensor, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """The grey map I = trunc(255 s), computed in double precision.

    >>> import torch
    >>> quantize(torch.tensor([[0.0, 0.999, 1.0]])).tolist()
    [[0, 254, 255]]
    """
    scores = score_map.detach().to("cpu", torch.float64).numpy()
    if not scores.size:
        raise DataError(f"a score map must have pixels, but its shape is {tuple(scores.shape)}")
    low, high = scores.min(), scores.max()
    if not (low >= 0 and high <= 1):
        raise DataError(
            f"a score map must be within [0, 1], but runs from {low:g} to {high:g}; normalize it first "
            "(advcam.localize.normalize)"
        )
    return (scores * 255).astype(np.uint8)


def all_contours(grey_HW: UInt8[np.ndarray, "h w"]) -> Contours:
    """Every contour of every mask of a grey map: components and holes.

    >>> import numpy as np
    >>> ring = np.full((5, 5), 9, dtype=np.uint8); ring[2, 2] = 4
    >>> all_contours(ring).box.tolist()
    [[0, 0, 4, 4], [0, 0, 4, 4], [1, 1, 4, 4]]
    """
    pixels = sort_pixels(grey_HW)
    return _all(outer_components(pixels), holes(pixels), grey_HW.shape)


def largest_contours(grey_HW: UInt8[np.ndarray, "h w"]) -> Contours:
    """The largest contour of every mask of a grey map.

    >>> import numpy as np
    >>> two = np.zeros((3, 9), dtype=np.uint8); two[:2, :2], two[:, 4:8] = 9, 4
    >>> found = largest_contours(two)
    >>> found.box[found.low == 3].tolist(), found.box[found.low == 4].tolist()
    ([[4, 0, 8, 2]], [[0, 0, 2, 2]])
    """
    pixels = sort_pixels(grey_HW)
    return _largest(outer_components(pixels), holes(pixels), grey_HW)


def contours(grey_HW: UInt8[np.ndarray, "h w"]) -> tuple[Contours, Contours]:
    """:func:`all_contours` and :func:`largest_contours` for less than the two cost apart."""
    pixels = sort_pixels(grey_HW)
    outer, inner = outer_components(pixels), holes(pixels)
    return _all(outer, inner, grey_HW.shape), _largest(outer, inner, grey_HW)


def _all(outer: Components, inner: Components, shape: tuple[int, ...]) -> Contours:
    inner_box = inner.box + np.array([-1, -1, 1, 1], dtype=np.int32)
    return Contours(
        low=np.concatenate([outer.low, inner.low]),
        high=np.concatenate([outer.high, inner.high]),
        box=_clip(np.concatenate([outer.box, inner_box]), shape),
    )


def _largest(outer: Components, inner: Components, grey_HW: UInt8[np.ndarray, "h w"]) -> Contours:
    """The largest contours, given components and holes.

    A hole never has a greater area than the contour around it, which comes before it. Areas of components lack their
    holes, of which only the boxes are known. Where this leaves open which contour is the largest, the tree of the map
    with its holes filled tells: there areas are exact, and a contour within a hole of another, which is smaller than
    that other, is gone.
    """
    gaps = _most_gaps(inner.low, inner.high, inner.box)
    best, decided = _largest_at(outer.low, outer.high, outer.box, outer.double_area, outer.first, outer.solid, gaps)
    if not decided:
        outer = outer_components(sort_pixels(fill_holes(grey_HW)))
        best, _ = _largest_at(outer.low, outer.high, outer.box, outer.double_area, outer.first, outer.solid, gaps)
    levels = np.flatnonzero(best >= 0).astype(np.int32)
    return Contours(low=levels, high=levels + np.int32(1), box=_clip(outer.box[best[levels]], grey_HW.shape))


def _clip(box: Int32[np.ndarray, "c 4"], shape: tuple[int, ...]) -> Int32[np.ndarray, "c 4"]:
    height, width = shape
    return np.minimum(box, np.array([width, height, width - 1, height - 1], dtype=np.int32))


@compiled()
@no_type_check
def _most_gaps(low, high, box):
    """At each level, twice the area that all holes together can have at most: a hole and half a pixel around it."""
    gaps = np.zeros(LEVELS, np.int64)
    for c in range(len(low)):
        most = 2 * (box[c, 2] - box[c, 0] + 1) * (box[c, 3] - box[c, 1] + 1)
        for level in range(low[c], high[c]):
            gaps[level] += most
    return gaps


@compiled()
@no_type_check
def _largest_at(low, high, box, double_area, first, solid, gaps):
    """The index of the largest component at each level, -1 where there is none; and whether all are certain."""
    best = np.full(LEVELS, -1, np.int64)
    for c in range(len(low)):
        for level in range(low[c], high[c]):
            rival = best[level]
            if (
                rival < 0
                or double_area[c] > double_area[rival]
                or (double_area[c] == double_area[rival] and first[c] > first[rival])
            ):
                best[level] = c
    for c in range(len(low)):
        of_box = 2 * (box[c, 2] - box[c, 0] - 1) * (box[c, 3] - box[c, 1] - 1)
        for level in range(low[c], high[c]):
            winner = best[level]
            if winner == c or (solid[c] and solid[winner]):
                continue
            most = double_area[c] if solid[c] else min(of_box, double_area[c] + gaps[level])
            if most >= double_area[winner]:
                return best, False
    return best, True
