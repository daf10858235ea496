"""Image files of any kind as 8-bit RGB arrays, and their sizes from the header alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Float64, Num, UInt8
from PIL import Image

from advcam.errors import DataError

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".tga", ".avif", ".heic", ".heif",
)  # fmt: skip
# Pillow knows more, and some of them run programs: it hands PostScript in a file of any name to Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "MPO", "JPEG2000", "AVIF")
# A picture smaller than this is not a photograph: it would be less than one cell of a feature map.
MIN_SIDE = 8

_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257


def read_image(path: str | Path) -> UInt8[np.ndarray, "H W 3"]:
    """The picture as a person sees it: turned by its EXIF orientation, 8-bit RGB, values 0 to 255.

    Grey is repeated over the channels. What is transparent, in RGBA or in a palette, shows white. CMYK becomes RGB.
    16-bit grey is divided by 257. Grey in 32-bit integers or floats is brought to 0-255 from the smallest of the ranges
    0-1 (floats only), 0-255, 0-65535 that holds it, or else from its own minimum and maximum. Of an animation the
    first frame is taken.

    Raises:
        DataError: the file is missing, empty, truncated, no image, larger than ``PIL.Image.MAX_IMAGE_PIXELS`` or
            smaller than 8 pixels on a side.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "grey.png")
    >>> Image.new("L", (16, 8), 200).save(file)
    >>> read_image(file).shape, read_image(file)[0, 0].tolist()
    ((8, 16, 3), [200, 200, 200])
    """
    with open_image(path) as image:
        _check_sides(path, image.size)
        turn = _TURNS.get(_orientation(image))
        image.load()
        # Pillow turns a TIFF by itself while loading it.
        if turn is not None and image.format != "TIFF":
            image = image.transpose(turn)
        return np.array(_to_rgb(image))


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
    with open_image(path) as image:
        width, height = image.size
        # Some versions of Pillow give a TIFF's size as stored, others as turned; the tags are always as stored.
        if image.format == "TIFF":
            width, height = image.tag_v2[_TIFF_WIDTH], image.tag_v2[_TIFF_HEIGHT]  # type: ignore[attr-defined]
        _check_sides(path, (width, height))
        return (width, height) if _orientation(image) >= 5 else (height, width)


def open_picture(file: str | Path | IO[bytes]) -> Image.Image:
    """Pillow's lazy ``Image.open`` for the kinds in ``FORMATS`` and no others: the one way in to every picture."""
    # Pillow warns of a size that is refused below. Appended once for all threads: a filter that is set and reset in one
    # thread is left behind by another.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning, append=True)
    return Image.open(file, formats=_known_formats())


@cache
def _known_formats() -> tuple[str, ...]:
    """Those of ``FORMATS`` that the installed Pillow knows: older ones lack AVIF."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def is_whole_picture(path: str | Path) -> bool:
    """Whether a file is there and its checksums hold, as far as its kind has any."""
    try:
        with open_picture(path) as image:
            image.verify()
        return True
    # Pillow raises errors of many kinds on broken files.
    except Exception:
        return False


@contextmanager
def open_image(path: str | Path) -> Iterator[Image.Image]:
    """A file opened by Pillow, of which only the header is read; whatever fails inside becomes a ``DataError``."""
    try:
        with open_picture(path) as image:
            limit, pixels = Image.MAX_IMAGE_PIXELS, image.size[0] * image.size[1]
            if limit is not None and pixels > limit:
                raise DataError(
                    f"{path}: the image has {pixels} pixels, but at most {limit} are read: make it smaller, or leave "
                    "it out with --skip-bad"
                )
            yield image
    except DataError:
        raise
    # Pillow's decoders raise errors of every kind on broken files; the original one stays attached as the cause.
    except Exception as error:
        raise DataError(f"{path}: {_reason(Path(path), error)}") from error


def _reason(path: Path, error: Exception) -> str:
    """What is wrong with a file that Pillow refused, and the mend."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file: put it there, or take it out of the labels"
    if isinstance(error, PermissionError | IsADirectoryError | NotADirectoryError):
        return f"the file cannot be opened ({error.strerror}): make it a file that you may read"
    if path.stat().st_size == 0:
        return "the file is empty: replace it, or leave it out with --skip-bad"
    if isinstance(error, Image.UnidentifiedImageError):
        return (
            "the file is not an image of a kind that is read (JPEG, PNG, WebP, TIFF, BMP, GIF, PPM, JPEG 2000, AVIF): "
            "convert it, or leave it out with --skip-bad"
        )
    if isinstance(error, Image.DecompressionBombError):
        return (
            f"the image has more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels, but at most {Image.MAX_IMAGE_PIXELS} "
            "are read: make it smaller, or leave it out with --skip-bad"
        )
    detail = " ".join(str(error).split()) or type(error).__name__
    return f"the image is truncated or damaged ({detail}): replace it, or leave it out with --skip-bad"


def _check_sides(path: str | Path, size: tuple[int, int]) -> None:
    width, height = size
    if min(width, height) < MIN_SIDE:
        raise DataError(
            f"{path}: the image is {width} x {height} pixels, but at least {MIN_SIDE} x {MIN_SIDE} are needed: replace "
            "it, or leave it out with --skip-bad"
        )


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, from the header."""
    # Pillow would decode a whole PNG to look for EXIF behind its pixels.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    value = image.getexif().get(_ORIENTATION_TAG, 1)
    return value if value in _TURNS else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _grey((np.asarray(image).astype(np.int64) + 128) // 257)
    if image.mode in ("I", "F"):
        return _grey(_to_8_bit(np.asarray(image).astype(np.float64), floating=image.mode == "F"))
    if "transparency" in image.info or image.mode in ("RGBA", "RGBa", "LA", "La", "PA"):
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _to_8_bit(values: Float64[np.ndarray, "H W"], floating: bool) -> Float64[np.ndarray, "H W"]:
    """Grey values of unknown range brought to 0-255; see ``read_image`` for the rule."""
    if not np.isfinite(values).all():
        raise ValueError("some of its values are not finite numbers")
    low, high = values.min(), values.max()
    ranges = (1, 255, 65535) if floating else (255, 65535)
    top = next((top for top in ranges if low >= 0 and high <= top), None)
    if top is None:
        return np.rint((values - low) * (255 / max(high - low, 1)))
    return np.rint(values * (255 / top))


def _grey(values: Num[np.ndarray, "H W"]) -> Image.Image:
    return Image.fromarray(values.astype(np.uint8)).convert("RGB")
