"""Intersection over union of boxes and the contours of a map, at every grey level at once.

Boxes are x0, y0, x1, y1 in pixels, last pixel included, as wsolevaluation counts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import no_type_check

import numpy as np
from jaxtyping import Float64, Int32, Int64, Num, UInt8
from torch import Tensor

from advcam.errors import DataError
from advcam.kernels import compiled
from advcam.localize.components import LEVELS
from advcam.localize.levels import Contours, contours

Boxes = Num[Tensor, "_ 4"] | Num[np.ndarray, "_ 4"] | Sequence[Sequence[float]]
ImageSize = Num[Tensor, "2"] | Num[np.ndarray, "2"] | Sequence[int]

EMPTY = np.zeros((1, 4), dtype=np.int32)
"""The box of a mask without pixels."""


def boxes_on_map(boxes: Boxes, image_size: ImageSize, size: int, name: str) -> Int64[np.ndarray, "m 4"]:
    """Ground-truth boxes in pixels of the map: each coordinate c becomes trunc(c * size / W), or H for y.

    Args:
        boxes: x0, y0, x1, y1 in pixels of the image, with 0 <= x0 <= x1 <= W and 0 <= y0 <= y1 <= H.

    >>> boxes_on_map([(60, 27, 385, 331)], (335, 500), 224, "001/Black_Footed_Albatross_0046.jpg").tolist()
    [[26, 18, 172, 221]]
    """
    found = np.asarray(boxes.cpu() if isinstance(boxes, Tensor) else boxes, dtype=np.float64)
    if found.ndim != 2 or found.shape[1] != 4 or not len(found):
        raise DataError(f"{name}: needs at least one ground-truth box x0, y0, x1, y1, but has shape {found.shape}")
    height, width = (int(side) for side in image_size)
    if width < 1 or height < 1:
        raise DataError(f"{name}: the image size must be at least 1 x 1 pixels, not {width} x {height}")
    for x0, y0, x1, y1 in found:
        corners = f"{x0:g}, {y0:g}, {x1:g}, {y1:g}"
        if x1 < x0 or y1 < y0:
            raise DataError(f"{name}: box {corners} has swapped corners; write x0, y0, x1, y1 with x0 <= x1, y0 <= y1")
        if not (x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height):
            raise DataError(
                f"{name}: box {corners} is not inside the image of {width} x {height} pixels; "
                "check that box and image size are in the same pixels, and that width and height are not swapped"
            )
    return (found * size / np.array([width, height, width, height])).astype(np.int64)


def inclusive_iou(
    a: Int64[np.ndarray, "m 4"] | Int32[np.ndarray, "m 4"], b: Int64[np.ndarray, "n 4"]
) -> Float64[np.ndarray, "m n"]:
    """Intersection over union of every box of a with every box of b; a box of one pixel has x0 = x1 and area 1.

    >>> import numpy as np
    >>> inclusive_iou(np.array([[31, 93, 145, 179]]), np.array([[30, 90, 150, 170]])).round(6).tolist()
    [[0.827796]]
    """
    return _ious(a.astype(np.int64), b)


def level_ious(
    grey_HW: UInt8[np.ndarray, "h w"], truth: Int64[np.ndarray, "m 4"]
) -> tuple[Float64[np.ndarray, " 256"], Float64[np.ndarray, " 256"]]:
    """The best intersection over union with any true box of the mask {I > L}, for each level L = 0 ... 255.

    Returns one curve over all contours, and one over the largest contour alone. A mask without pixels counts as the
    box 0, 0, 0, 0.
    """
    every, largest = contours(grey_HW)
    empty = inclusive_iou(EMPTY, truth).max()
    return _best_at_levels(every, truth, empty), _best_at_levels(largest, truth, empty)


def _best_at_levels(found: Contours, truth: np.ndarray, empty: float) -> Float64[np.ndarray, " 256"]:
    best = _highest(found.low, found.high, _ious(found.box.astype(np.int64), truth))
    best[best < 0] = empty
    return best


@compiled()
@no_type_check
def _ious(a, b):
    result = np.empty((len(a), len(b)), np.float64)
    for i in range(len(a)):
        for j in range(len(b)):
            width = min(a[i, 2], b[j, 2]) - max(a[i, 0], b[j, 0]) + 1
            height = min(a[i, 3], b[j, 3]) - max(a[i, 1], b[j, 1]) + 1
            shared = max(0, width) * max(0, height)
            both = (a[i, 2] - a[i, 0] + 1) * (a[i, 3] - a[i, 1] + 1) + (b[j, 2] - b[j, 0] + 1) * (b[j, 3] - b[j, 1] + 1)
            result[i, j] = shared / (both - shared)
    return result


@compiled()
@no_type_check
def _highest(low, high, ious):
    """At each level the highest value of what is there, -1 where nothing is."""
    best = np.full(LEVELS + 1, -1.0)
    for c in range(len(low)):
        value = ious[c].max()
        for level in range(low[c], high[c]):
            best[level] = max(best[level], value)
    return best
