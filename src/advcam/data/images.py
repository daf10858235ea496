"""Image files of any kind as 8-bit RGB arrays, and their sizes from the header alone."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import IO

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from advcam.data.tiff import is_tiff, read_tiff, tiff_size
from advcam.data.values import STRIP, other_channels, sixteen_bits, to_8_bit
from advcam.errors import DataError
from advcam.io.stored import Stored

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".tga", ".avif", ".heic", ".heif",
)  # fmt: skip
# Pillow knows more, and some of them run programs: it hands PostScript in a file of any name to Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "MPO", "JPEG2000", "AVIF")
# A picture smaller than this is not a photograph: it would be less than one cell of a feature map.
MIN_SIDE = 8

_ORIENTATION_TAG = 0x0112
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BANDS, _TIFF_PLANES = 256, 257, 277, 284
_LARGE = 2**25
_one_large_at_a_time = Lock()


def read_image(path: str | Path, channels: int = 3) -> UInt8[np.ndarray, "H W {channels}"]:
    """The picture as a person sees it: turned by its EXIF orientation, 8-bit RGB, values 0 to 255.

    With another number of ``channels`` the bands as they are stored, each in 8 bits by the same rules, and for one
    channel grey. A TIFF with bands that Pillow does not know is read by tifffile; as RGB its first three count.

    Grey is repeated over the channels. What is transparent, in RGBA or in a palette, shows white. CMYK becomes RGB.
    16-bit grey is divided by 257, whatever values it holds: 12-bit values stay dark unless they are scaled to 16 bits
    first. Grey in 32-bit integers or floats is brought to 0-255 from the smallest of the ranges 0-1 (floats only),
    0-255, 0-65535 that holds it, or else from its own minimum and maximum. Of an animation the first frame is taken.

    Raises:
        DataError: the file is missing, empty, truncated, no image, smaller than 8 pixels on a side, or larger than
            Pillow opens: twice ``PIL.Image.MAX_IMAGE_PIXELS``, some 13,300 pixels on a side.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "grey.png")
    >>> Image.new("L", (16, 8), 200).save(file)
    >>> read_image(file).shape, read_image(file)[0, 0].tolist()
    ((8, 16, 3), [200, 200, 200])
    """
    if is_multi_band(path, channels):
        height, width = tiff_size(path)
        _check_sides(path, (width, height))
        return read_tiff(path, channels)
    with open_image(path) as image:
        _check_sides(path, image.size)
        if channels != 3:
            return _bands(path, image, channels)
        if image.size[0] * image.size[1] <= _LARGE:
            return rgb_pixels(image)
        # Threads that decode several at once would need gigabytes.
        with _one_large_at_a_time:
            return rgb_pixels(image)


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of the picture that ``read_image`` gives, from the file's header.

    Raises:
        DataError: as ``read_image``, except that a file that is truncated after its header is not noticed.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "wide.png")
    >>> Image.new("RGB", (16, 8)).save(file)
    >>> image_size(file)
    (8, 16)
    """
    if is_multi_band(path):
        size = tiff_size(path)
        _check_sides(path, size[::-1])
        return size
    with open_image(path) as image:
        width, height = image.size
        # Some versions of Pillow give a TIFF's size as stored, others as turned; the tags are always as stored.
        if image.format == "TIFF":
            width, height = image.tag_v2[_TIFF_WIDTH], image.tag_v2[_TIFF_HEIGHT]  # type: ignore[attr-defined]
        _check_sides(path, (width, height))
        return (width, height) if _orientation(image) >= 5 else (height, width)


def open_picture(file: str | Path | IO[bytes] | BytesIO) -> Image.Image:
    """Pillow's lazy ``Image.open`` for the kinds in ``FORMATS`` and no others: the one way in to every picture."""
    # Pillow warns of a size that is refused below. Appended once for all threads: a filter that is set and reset in one
    # thread is left behind by another.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning, append=True)
    return Image.open(file.open() if isinstance(file, Stored) else file, formats=_known_formats())


@cache
def _known_formats() -> tuple[str, ...]:
    """Those of ``FORMATS`` that the installed Pillow knows: older ones lack AVIF."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextmanager
def open_image(path: str | Path) -> Iterator[Image.Image]:
    """A file opened by Pillow, of which only the header is read; whatever fails inside becomes a ``DataError``."""
    try:
        with open_picture(path) as image:
            yield image
    except DataError:
        raise
    # Pillow's decoders raise errors of every kind on broken files; the original one stays attached as the cause.
    except Exception as error:
        raise DataError(f"{_reason(Path(path), error)}", path) from error


def _reason(path: Path, error: Exception) -> str:
    """What is wrong with a file that Pillow refused, and the fix."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file: put it there, or take it out of the labels"
    if isinstance(error, PermissionError | IsADirectoryError | NotADirectoryError):
        return f"the file cannot be opened ({error.strerror}): make it a file that you may read"
    if path.stat().st_size == 0:
        return "the file is empty: replace it, or leave it out with skip_bad"
    if isinstance(error, Image.UnidentifiedImageError):
        return (
            "the file is not an image of a kind that is read (JPEG, PNG, WebP, TIFF, BMP, GIF, PPM, JPEG 2000, AVIF): "
            "convert it, or leave it out with skip_bad"
        )
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return (
            f"the image has too many pixels, at most {2 * (Image.MAX_IMAGE_PIXELS or 0)} are read: make it smaller, or "
            "leave it out with skip_bad"
        )
    detail = " ".join(str(error).split()) or type(error).__name__
    return f"the image is truncated or damaged ({detail}): replace it, or leave it out with skip_bad"


def is_multi_band(path: str | Path, channels: int = 3) -> bool:
    """Whether a file is a TIFF whose bands only tifffile reads: all but grey and RGB where they are asked for."""
    if os.path.splitext(path)[1].lower() not in (".tif", ".tiff"):  # noqa: PTH122, several times as quick
        return False
    if channels not in (1, 3):
        return True
    try:
        with open_picture(path) as image:
            tags = getattr(image, "tag_v2", {})
            return tags.get(_TIFF_PLANES, 1) == 2 and tags.get(_TIFF_BANDS, 1) > 3
    except (Image.UnidentifiedImageError, SyntaxError, KeyError, ValueError):
        return is_tiff(path)
    except OSError:
        return False


def _bands(path: str | Path, image: Image.Image, channels: int) -> UInt8[np.ndarray, "H W _"]:
    """The bands of a picture that is no multi-band TIFF, or its grey."""
    if channels == 1:
        return np.array(Image.fromarray(rgb_pixels(image)).convert("L"))[..., None]
    if len(image.getbands()) != channels:
        raise other_channels(len(image.getbands()), channels, path)
    image.load()
    return np.array(image if _orientation(image) == 1 else ImageOps.exif_transpose(image))


def _check_sides(path: str | Path, size: tuple[int, int]) -> None:
    width, height = size
    if min(width, height) < MIN_SIDE:
        raise DataError(
            f"the image is {width} x {height} pixels, but at least {MIN_SIDE} x {MIN_SIDE} are needed: replace "
            "it, or leave it out with skip_bad",
            path,
        )


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, from the header."""
    # Pillow would decode a whole PNG to look for EXIF behind its pixels.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    value = image.getexif().get(_ORIENTATION_TAG, 1)
    return value if value in range(2, 9) else 1


def rgb_pixels(image: Image.Image) -> UInt8[np.ndarray, "H W 3"]:
    """An opened picture by the rules of ``read_image``."""
    turned = _orientation(image) > 1
    image.load()
    # Pillow turns a TIFF by itself while loading it.
    if turned and image.format != "TIFF":
        image = ImageOps.exif_transpose(image)
    return np.array(to_rgb(image))


def to_rgb(image: Image.Image) -> Image.Image:
    """A decoded picture in 8-bit RGB, as it is turned."""
    if image.mode.startswith("I;16"):
        return Image.fromarray(sixteen_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("I", "F"):
        return Image.fromarray(to_8_bit(np.asarray(image))).convert("RGB")
    if "transparency" in image.info or image.mode in ("RGBA", "RGBa", "LA", "La", "PA"):
        found = Image.new("RGB", image.size, "white")
        for top in range(0, image.size[1], STRIP):
            box = (0, top, image.size[0], min(top + STRIP, image.size[1]))
            layer = image.crop(box).convert("RGBA")
            found.paste(Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB"), box)
        return found
    return image if image.mode == "RGB" else image.convert("RGB")
