"""Resizing to the WSOL benchmark's map size, as the image library of its program does it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from advcam.data.masks import nearest_pixels


def bicubic(values: Float64[np.ndarray, "h w"], height: int, width: int) -> Float64[np.ndarray, "H W"]:
    """Bicubic resize (Keys, a = -0.75, half-pixel centres, border repeated, no smoothing when it shrinks).

    The weights are rounded to single precision and the products summed in double, column taps before row taps;
    with that the grey levels 0-255 of the result are those of the benchmark also where the ratio of the sizes is
    not a power of two.

    Source: OpenCV's INTER_CUBIC, as called by wsolevaluation.

    >>> import numpy as np
    >>> bicubic(np.array([[0.0, 1.0]]), 1, 4).round(4).tolist()
    [[-0.1055, 0.2266, 0.7734, 1.1055]]
    """
    source, weight = _taps(values.shape[1], width)
    across = sum(values[:, source[k]] * weight[k] for k in range(4))
    source, weight = _taps(values.shape[0], height)
    return sum(across[source[k]] * weight[k][:, None] for k in range(4))


def nearest(values: Shaped[np.ndarray, "h w"], height: int, width: int) -> Shaped[np.ndarray, "H W"]:
    """Resize by repeating or leaving out pixels: target i is source trunc(i / (target size / source size)).

    Source: OpenCV's INTER_NEAREST, as called by wsolevaluation for masks.

    >>> import numpy as np
    >>> nearest(np.arange(5)[None], 1, 3).tolist()
    [[0, 1, 3]]
    """
    rows, columns = nearest_pixels(values.shape[0], height), nearest_pixels(values.shape[1], width)
    return values[rows[:, None], columns]


def _taps(size: int, target: int) -> tuple[Int64[np.ndarray, "4 n"], Float64[np.ndarray, "4 n"]]:
    """For each target pixel its four source pixels and their weights."""
    centre = ((np.arange(target) + 0.5) * (size / target) - 0.5).astype(np.float32)
    left = np.floor(centre)
    t = centre - left
    a, one = np.float32(-0.75), np.float32(1)
    outer_left = ((a * (t + one) - 5 * a) * (t + one) + 8 * a) * (t + one) - 4 * a
    inner_left = ((a + 2) * t - (a + 3)) * t * t + one
    inner_right = ((a + 2) * (one - t) - (a + 3)) * (one - t) * (one - t) + one
    weight = np.stack([outer_left, inner_left, inner_right, one - outer_left - inner_left - inner_right])
    source = left.astype(np.int64) + np.arange(-1, 3)[:, None]
    return source.clip(0, size - 1), weight.astype(np.float64)
