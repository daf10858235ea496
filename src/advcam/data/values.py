"""Pixel values of other kinds brought to 8 bits; the one rule for files and for arrays."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

import numpy as np
from jaxtyping import Num, UInt8, UInt16

from advcam.errors import DataError

# Rows of a picture that are brought to 8 bits at a time: in double the whole of a large one would take gigabytes.
STRIP = 256


def other_channels(found: int, wanted: int, file: object = None) -> DataError:
    """The refusal of a picture that the network cannot take."""
    return DataError(
        f"the picture has {found} channels, and the network takes {wanted}: give pictures of as many, or a network of "
        "as many (backbone.in_channels)",
        file,
    )


def sixteen_bits(values: UInt16[np.ndarray, "H W *C"]) -> UInt8[np.ndarray, "H W *C"]:
    """Values of 16 bits divided by 257, to the nearest."""
    return in_strips(values, lambda strip: (strip.astype(np.int64) + 128) // 257)


def to_8_bit(values: Num[np.ndarray, "H W *C"]) -> UInt8[np.ndarray, "H W *C"]:
    """Values of unknown range brought to 0-255; see ``read_image`` for the rule."""
    floating = np.issubdtype(values.dtype, np.floating)
    low, high = float(values.min()), float(values.max())
    if not (isfinite(low) and isfinite(high)):
        raise ValueError("some of its values are not finite numbers")
    ranges = (1, 255, 65535) if floating else (255, 65535)
    top = next((top for top in ranges if low >= 0 and high <= top), None)
    start, span = (0.0, float(top)) if top is not None else (low, high - low or 1.0)
    return in_strips(values, lambda strip: np.rint((strip.astype(np.float64) - start) * (255 / span)))


def in_strips(
    values: Num[np.ndarray, "H W *C"], scaled: Callable[[np.ndarray], np.ndarray]
) -> UInt8[np.ndarray, "H W *C"]:
    found = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), STRIP):
        found[top : top + STRIP] = scaled(values[top : top + STRIP])
    return found
