"""Masks as indexed pictures: read and checked, written with the palette of PASCAL VOC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int, Int64, UInt8
from PIL import Image

from advcam.data.images import image_size, open_image
from advcam.data.outlines import draw
from advcam.data.record import MaskFiles, Polygons, Record
from advcam.errors import DataError, shortened
from advcam.io.files import writing

IGNORE = 255
OBJECTS = "SegmentationObject"


def read_mask(
    record: Record, size: tuple[int, int] | None = None, num_classes: int | None = None
) -> UInt8[np.ndarray, "H W"]:
    """The ground truth of an image: 0 background, ``class_index + 1``, 255 ignore.

    Args:
        record: with a mask, from an indexed or an 8-bit grey picture, or from polygons.
        size: height and width of the image; read from its header unless told.
        num_classes: without the background. Unless told, every value is allowed.

    Raises:
        DataError: there is no mask; its file cannot be read, or is a colour picture; its size is not the image's; or
            it holds values of no class.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_mask(folder / "a.png", np.full((8, 16), 3, np.uint8))
    >>> read_mask(Record("a", folder / "a.jpg", (2,), folder / "a.png"), size=(8, 16), num_classes=3).max()
    np.uint8(3)
    """
    if record.mask is None:
        raise DataError("the image has no ground-truth mask: add one, or leave the image out", record.image)
    size = image_size(record.image) if size is None else size
    if isinstance(record.mask, MaskFiles):
        foreground, ignored = objects_and_ignored(record.mask, *size)
        index = record.classes[0] + 1 if record.classes else 0
        return np.where(foreground, index, np.where(ignored, IGNORE, 0)).astype(np.uint8)
    if isinstance(record.mask, Polygons):
        where, name = record.image, "its annotated mask"
        # Before it is drawn: the size is whatever the annotation says, and may not fit into memory.
        _check_size(where, name, record.mask.size, size)
        mask = _drawn(where, name, record.mask)
    else:
        where, name = record.mask, "the mask"
        mask = _indices(record.mask)
        _check_size(where, name, mask.shape, size)
    if num_classes is not None:
        _check_values(where, name, mask, num_classes)
    return mask


def read_objects(
    record: Record, size: tuple[int, int] | None = None, num_classes: int | None = None
) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, "n H W"]]:
    """The 0-based class and the mask of every object of an image, in the order of their numbers.

    The class is that of the image's mask where the object is. 255, the border of objects, belongs to none.

    Args:
        record: with ``objects`` and a mask.
        size, num_classes: as for ``read_mask``.

    Raises:
        DataError: a file is missing, cannot be read or is of another size, or an object has no class in the mask.
    """
    if record.objects is None:
        raise DataError(f"the image has no ground-truth objects: add {OBJECTS}, or leave it out", record.image)
    labels = read_mask(record, size, num_classes)
    with open_image(record.objects) as image:
        numbers = np.array(image) if len(image.getbands()) == 1 else None
    if numbers is None or numbers.shape != labels.shape:
        raise DataError(
            f"must be an indexed picture of {labels.shape[1]} x {labels.shape[0]} pixels, one number "
            "per object: replace it",
            record.objects,
        )
    classes, masks = [], []
    for number in np.unique(numbers):
        if number in (0, IGNORE):
            continue
        mask = numbers == number
        inside = labels[mask & (labels > 0) & (labels != IGNORE)]
        if not len(inside):
            raise DataError(
                f"object {number} lies where {record.mask} has no class: correct one of them", record.objects
            )
        classes.append(int(np.bincount(inside).argmax()) - 1)
        masks.append(mask)
    return np.asarray(classes, np.int64), np.stack(masks) if masks else np.zeros((0, *labels.shape), bool)


def mask_size(path: Path) -> tuple[int, int]:
    """Height and width of a mask's file, from its header; DataError where it is no picture."""
    with open_image(path) as image:
        return image.size[1], image.size[0]


def objects_and_ignored(
    files: MaskFiles, height: int, width: int
) -> tuple[Bool[np.ndarray, "{height} {width}"], Bool[np.ndarray, "{height} {width}"]]:
    """All objects together, and what does not count outside of them, each picture brought to one size (nearest).

    Raises:
        DataError: a file cannot be read.
    """
    foreground = np.zeros((height, width), dtype=bool)
    for path in files.objects:
        foreground |= _marked(path, height, width)
    if files.ignore is None:
        return foreground, np.zeros_like(foreground)
    return foreground, _marked(files.ignore, height, width) & ~foreground


def _marked(path: Path, height: int, width: int) -> Bool[np.ndarray, "{height} {width}"]:
    with open_image(path) as image:
        values = np.asarray(image.convert("L")) > 0
    rows, columns = nearest_pixels(values.shape[0], height), nearest_pixels(values.shape[1], width)
    return values[rows[:, None], columns]


def nearest_pixels(size: int, target: int) -> Int64[np.ndarray, " {target}"]:
    """For each of ``target`` pixels the one of ``size`` that it repeats: ``trunc(i / (target / size))``.

    Source: OpenCV's INTER_NEAREST, as the WSOL benchmark calls it for masks.
    """
    # The reciprocal of a reciprocal is not size / target: where that ratio is whole the two can differ by a pixel.
    return np.minimum((np.arange(target) * (1 / (target / size))).astype(np.int64), size - 1)


def resized_labels(labels: UInt8[np.ndarray, "h w"], size: tuple[int, int]) -> UInt8[np.ndarray, "H W"]:
    """Labels at another height and width, each pixel with one that is there."""
    return np.array(Image.fromarray(labels).resize((size[1], size[0]), Image.Resampling.NEAREST))


def write_mask(path: str | Path, mask: UInt8[np.ndarray, "H W"]) -> None:
    """Write an indexed PNG with the VOC palette, under a temporary name first; missing folders are made.

    Raises:
        RunError: the file cannot be written.
    """
    image = Image.frombytes("P", (mask.shape[1], mask.shape[0]), mask.tobytes())
    image.putpalette(voc_palette().tobytes())
    with writing(Path(path)) as temporary:
        image.save(temporary, "PNG")


def values_of(mask: UInt8[np.ndarray, "H W"]) -> list[int]:
    """The values that occur, ascending; ``numpy.bincount`` would take eight bytes for each pixel."""
    counts = Image.frombuffer("L", mask.shape[::-1], np.ascontiguousarray(mask), "raw", "L", 0, 1).histogram()
    return [value for value, count in enumerate(counts) if count]


def voc_palette() -> UInt8[np.ndarray, "256 3"]:
    """The colours of PASCAL VOC: the bits of an index, three at a time, set red, green and blue from the top bit down.

    >>> voc_palette()[[1, 15, 255]].tolist()
    [[128, 0, 0], [192, 128, 128], [224, 224, 192]]
    """
    index = np.arange(256)[:, None]
    channel = np.arange(3)
    colours = np.zeros((256, 3), np.int64)
    for group in range(8):
        colours |= (index >> (3 * group + channel) & 1) << (7 - group)
    return colours.astype(np.uint8)


def _drawn(where: Path, name: str, polygons: Polygons) -> UInt8[np.ndarray, "H W"]:
    try:
        return draw(polygons)
    except ValueError as error:
        raise DataError(f"{name} cannot be drawn, since {error}: fix the annotation", where) from error


def _indices(path: Path) -> UInt8[np.ndarray, "H W"]:
    with open_image(path) as image:
        mode, bands = image.mode, len(image.getbands())
        values = np.array(image) if bands == 1 and mode != "F" else None
    if values is None:
        raise DataError(
            f"the mask is a picture in colours ({mode}), but its values must be class numbers: save it as an "
            "indexed or 8-bit grey PNG with 0 for the background, 1 for the first class, 255 for ignore",
            path,
        )
    if values.min() < 0 or values.max() > IGNORE:
        raise DataError(
            f"the mask holds values from {values.min()} to {values.max()}, but only 0 to 255 are allowed: save "
            "it as an 8-bit PNG of class numbers",
            path,
        )
    return values.astype(np.uint8)


def _check_size(where: Path, name: str, found: tuple[int, int], size: tuple[int, int]) -> None:
    if found != size:
        raise DataError(
            f"{name} is {found[1]} x {found[0]} pixels, but the image (turned by its EXIF orientation) is "
            f"{size[1]} x {size[0]}: make both the same size",
            where,
        )


def _check_values(where: Path, name: str, mask: UInt8[np.ndarray, "H W"], num_classes: int) -> None:
    unknown = [value for value in values_of(mask) if num_classes < value < IGNORE]
    if unknown:
        listed = shortened([str(value) for value in unknown])
        raise DataError(
            f"{name} holds the values {listed}, but with {num_classes} classes only 0 to {num_classes} and {IGNORE} "
            "(ignore) mean something: correct the mask or the list of classes",
            where,
        )
