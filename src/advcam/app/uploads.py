"""What may come in from the page, and what may go out to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from advcam.data.images import open_picture, read_image
from advcam.errors import DataError

# Of one upload.
MAX_BYTES = 32 * 2**20
MAX_PIXELS = 64 * 10**6
KINDS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "MPO")


def checked_picture(path: str | Path) -> UInt8[np.ndarray, "H W 3"]:
    """A picture that somebody dropped on the page.

    Raises:
        DataError: it is too large, of a kind that is not taken, or not whole.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
    except OSError as error:
        raise DataError(f"the upload is gone ({error.strerror}): drop the picture again") from error
    if size > MAX_BYTES:
        raise DataError(f"the picture has {size / 2**20:.0f} MB, and {MAX_BYTES // 2**20} MB are taken: reduce it")
    try:
        with open_picture(file) as image:
            kind, pixels = image.format, image.width * image.height
    except (OSError, Image.DecompressionBombError, SyntaxError, ValueError):
        raise DataError("this is no picture, or not a whole one: drop a JPEG, PNG, WebP, BMP or TIFF file") from None
    if kind not in KINDS:
        raise DataError(f"pictures of the kind {kind} are not taken: drop a JPEG, PNG, WebP, BMP or TIFF file")
    if pixels > MAX_PIXELS:
        raise DataError(
            f"the picture has {pixels / 1e6:.0f} million pixels, and {MAX_PIXELS // 10**6} are taken: reduce it"
        )
    return read_image(file)


def within(root: Path, name: str) -> Path:
    """A file of a folder by its name, which must not lead out of it, through links either.

    Raises:
        DataError: it leads out, or there is no such file.
    """
    try:
        path = (root / name).resolve(strict=True)
        inside = path.is_relative_to(root.resolve()) and path.is_file()
    except (OSError, ValueError, RuntimeError):
        inside = False
    if not inside:
        raise DataError(f"{name!r}: there is no such file in {root}")
    return path
