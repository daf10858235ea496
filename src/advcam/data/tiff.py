"""TIFF files of several bands or more than 8 bits, which Pillow does not read; needs the package tifffile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from advcam.data.values import other_channels, sixteen_bits, to_8_bit
from advcam.errors import DataError

_ORIENTATION = 274


def is_tiff(path: str | Path) -> bool:
    """Whether a file begins as a TIFF does."""
    try:
        with Path(path).open("rb") as file:
            return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    except OSError:
        return False


def tiff_size(path: str | Path) -> tuple[int, int]:
    """Height and width, from the header."""
    with _page(path) as page:
        return page.imagelength, page.imagewidth


def read_tiff(path: str | Path, channels: int) -> UInt8[np.ndarray, "H W {channels}"]:
    """The bands of the first page in 8 bits, by the rules of ``read_image``; of three, the first where there are more.

    Raises:
        DataError: the file has other bands, is damaged, too large, turned, or packed in a way that is not known.
    """
    with _page(path) as page:
        values = page.asarray()
        if page.planarconfig == 2 and values.ndim == 3:
            values = np.moveaxis(values, 0, 2)
    values = values[..., None] if values.ndim == 2 else values
    bands = values.shape[2] if values.ndim == 3 else 0
    if channels == 3:
        values = values[..., :3] if bands >= 3 else np.repeat(values[..., :1], 3, axis=2)
    elif bands != channels:
        raise other_channels(bands, channels, path)
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    try:
        return sixteen_bits(values) if values.dtype == np.uint16 else to_8_bit(values)
    except ValueError as error:
        raise DataError(f"the picture cannot be used, since {error}: replace it", path) from error


@contextmanager
def _page(path: str | Path) -> Iterator[Any]:
    try:
        import tifffile
    except ImportError as error:
        raise DataError(
            "a TIFF of these bands needs tifffile: pip install 'advcam[tiff]', or save it as 8-bit RGB",
            path,
        ) from error
    try:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            pixels = page.imagelength * page.imagewidth
            kind = page.dtype
            if pixels * page.samplesperpixel > 8 * (Image.MAX_IMAGE_PIXELS or 2**62):
                raise DataError("the image has too many pixels: make it smaller", path)
            if kind is None or kind.kind not in "uif" or page.tags.valueof(_ORIENTATION, 1) not in (0, 1):
                raise DataError(
                    f"the image holds {kind} or is turned by its tags: save it upright in 8 or 16 bits", path
                )
            yield page
    except (DataError, GeneratorExit):
        raise
    # tifffile raises errors of every kind on broken files, and where a codec is missing.
    except Exception as error:
        detail = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"the TIFF is damaged, or packed as is not known ({detail}): save it unpacked", path) from error
