"""Images with masks, checked before anything is trained on them, and the views that a training sees of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int64, UInt8
from torch import Tensor

from advcam.data.images import image_size, read_image
from advcam.data.masks import IGNORE, read_mask
from advcam.data.record import ImageSet, Problem, Record
from advcam.errors import DataError

# Masks that wait to be looked at are kept few, so that memory does not grow with the data set.
_BATCH = 256


@dataclass(frozen=True)
class MaskedImages:
    """The images that a segmentation network can be trained on, and what their masks hold.

    Attributes:
        images: records with a mask each.
        counts: pixels of each label, the background first, in the mask of each.
        left_out: what cannot be used, with the reason.
    """

    images: ImageSet
    counts: Int64[np.ndarray, "n K"]
    left_out: tuple[Problem, ...]

    @property
    def pixels(self) -> tuple[int, ...]:
        """Of each label over all masks."""
        return tuple(self.counts.sum(axis=0).tolist())

    @property
    def untrained(self) -> tuple[str, ...]:
        """The classes of which no mask has a pixel."""
        names = ("background", *self.images.class_names)
        return tuple(name for name, count in zip(names, self.pixels, strict=True) if count == 0)


def with_masks(images: ImageSet, folder: str | Path) -> ImageSet:
    """The images that have a mask ``<id>.png`` in a folder, such as ``masks`` of a run, with that as their mask."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder of masks: run advcam refine, or correct the path")
    found = tuple(
        replace(record, mask=path) for record in images.records if (path := folder / f"{record.id}.png").is_file()
    )
    if not found:
        example = images.records[0].id if images.records else "ID"
        raise DataError(
            f"{folder}: none of the {len(images)} images has a mask here: masks are looked for by the image's id, such "
            f"as {folder / example}.png"
        )
    return replace(images, records=found)


def check_masks(images: ImageSet, *, skip_bad: bool = False) -> MaskedImages:
    """Look at every mask once: only what can be trained on is kept.

    Images whose masks are 255 everywhere are left out, since nothing can be learnt from them.

    Args:
        images: records without a mask are left out.
        skip_bad: leave out images whose mask cannot be used as well, instead of raising.
    """
    kept: list[Record] = []
    left_out: list[Problem] = []
    counts: list[Int64[np.ndarray, " K"]] = []
    masked = [record for record in images.records if record.mask is not None]
    for record, found in zip(masked, _counts(masked, len(images.class_names)), strict=True):
        if isinstance(found, DataError):
            if not skip_bad:
                raise found
            file, _, message = str(found).partition(": ")
            left_out.append(Problem(file, message))
        elif not found.any():
            left_out.append(Problem(str(record.mask), f"the mask is {IGNORE} (ignore) in every pixel"))
        else:
            kept.append(record)
            counts.append(found)
    if not kept:
        first = f" (first: {left_out[0]})" if left_out else ""
        raise DataError(f"{images.root}: no image has a mask that a network can be trained on{first}: make masks first")
    return MaskedImages(replace(images, records=tuple(kept)), np.stack(counts), tuple(left_out))


def check_readable(records: Sequence[Record], num_classes: int, *, skip_bad: bool = False) -> None:
    """Raise DataError at the first mask that cannot be read, is of another size, or holds values of no class."""
    wrong = next((found for found in _counts(records, num_classes) if isinstance(found, DataError)), None)
    if wrong is not None and not skip_bad:
        raise wrong


def _counts(records: Sequence[Record], num_classes: int) -> list[Int64[np.ndarray, " K"] | DataError]:
    """Pixels of each label in each mask, or why the mask cannot be used."""

    def look(record: Record) -> Int64[np.ndarray, " K"] | DataError:
        try:
            mask = read_mask(record, image_size(record.image), num_classes)
        except DataError as error:
            return error
        return np.bincount(mask.ravel(), minlength=256)[: num_classes + 1]

    found: list[Int64[np.ndarray, " K"] | DataError] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(records), _BATCH):
            found += pool.map(look, records[start : start + _BATCH])
    return found


def read_pair(record: Record, num_classes: int) -> tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W"]]:
    """A picture and its mask of the same size; DataError where they cannot be used."""
    image = read_image(record.image)
    return image, read_mask(record, image.shape[:2], num_classes)


@dataclass(frozen=True)
class View:
    """What a training sees of an image: the picture at another size, a window of it, possibly mirrored.

    Attributes:
        size: height and width that the picture is resized to.
        corner: row and column of the window's upper left pixel in it.
        mirrored: left and right are exchanged.
    """

    size: tuple[int, int]
    corner: tuple[int, int]
    mirrored: bool


def random_view(
    size: tuple[int, int], scales: Sequence[float], crop: int, flip: bool, generator: np.random.Generator
) -> View:
    """DeepLab-v2's view: a scale of a list, sides cut to whole pixels, any window, every second one mirrored.

    >>> random_view((375, 500), (0.5,), 321, False, np.random.default_rng(0)).size
    (187, 250)
    """
    scale = scales[int(generator.integers(len(scales)))]
    height, width = (max(1, int(side * scale)) for side in size)
    row, column = (int(generator.integers(max(side - crop, 0) + 1)) for side in (height, width))
    return View((height, width), (row, column), flip and bool(generator.integers(2)))


def take_view(
    image: UInt8[np.ndarray, "H W 3"],
    mask: UInt8[np.ndarray, "H W"],
    view: View,
    crop: int,
    mean: Sequence[float],
    std: Sequence[float],
) -> tuple[Float[Tensor, "3 crop crop"], UInt8[Tensor, "crop crop"]]:
    """The square window of a view: the picture bilinear, the mask nearest; below and right of its end the mean and 255.

    Only the window is computed. Bilinear is without smoothing before reduction, as OpenCV and torch have it, and
    nearest takes Pillow's pixel.

    Args:
        image, mask: of one size.
        mean, std: of the network's input, for pixel values in [0, 1].

    >>> grey, labels = np.full((4, 6, 3), 51, np.uint8), np.ones((4, 6), np.uint8)
    >>> pixels, window = take_view(grey, labels, View((4, 6), (0, 0), False), 5, (0, 0, 0), (1, 1, 1))
    >>> pixels[0, :, 0], window[:, 0].tolist()
    (tensor([0.2000, 0.2000, 0.2000, 0.2000, 0.0000]), [1, 1, 1, 1, 255])
    """
    rows, columns = (
        np.arange(start, min(start + crop, side)) for start, side in zip(view.corner, view.size, strict=True)
    )
    window = _bilinear(image, view.size, rows, columns)
    labels = np.full((crop, crop), IGNORE, np.uint8)
    labels[: len(rows), : len(columns)] = mask[
        nearest_indices(mask.shape[0], view.size[0])[rows][:, None],
        nearest_indices(mask.shape[1], view.size[1])[columns],
    ]
    pixels = np.zeros((crop, crop, 3), np.float32)
    scale = 1 / (255 * np.asarray(std))
    pixels[: len(rows), : len(columns)] = window * scale.astype(np.float32) - (
        np.asarray(mean) / np.asarray(std)
    ).astype(np.float32)
    if view.mirrored:
        pixels, labels = pixels[:, ::-1], labels[:, ::-1]
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy()), torch.from_numpy(labels.copy())


def nearest_indices(source: int, target: int) -> Int[np.ndarray, " target"]:
    """The pixel that Pillow's nearest resizing takes for each of ``target`` pixels, out of ``source``.

    >>> nearest_indices(321, 41)[:4].tolist()
    [3, 11, 19, 27]
    """
    # Summed up like Pillow does: the rounding decides where a centre lies between two pixels.
    steps = np.full(target, source / target)
    steps[0] /= 2
    return steps.cumsum().astype(np.int64).clip(max=source - 1)


def _bilinear(
    image: UInt8[np.ndarray, "H W 3"],
    size: tuple[int, int],
    rows: Int[np.ndarray, " h"],
    columns: Int[np.ndarray, " w"],
) -> Float32[np.ndarray, "h w 3"]:
    """Some rows and columns of the picture resized to ``size``, values 0 to 255."""
    if image.shape[:2] == size:
        return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
    (top, bottom, down), (left, right, across) = (
        _neighbours(source, target, wanted)
        for source, target, wanted in zip(image.shape[:2], size, (rows, columns), strict=True)
    )
    first, last = left[0], right[-1] + 1
    part = image[:, first:last]
    upper = part[top].astype(np.float32)
    mixed = upper + down[:, None, None] * (part[bottom] - upper)
    west = mixed[:, left - first]
    return west + across[None, :, None] * (mixed[:, right - first] - west)


def _neighbours(
    source: int, target: int, wanted: Int[np.ndarray, " w"]
) -> tuple[Int[np.ndarray, " w"], Int[np.ndarray, " w"], Float32[np.ndarray, " w"]]:
    """The two pixels on either side of each wanted one's centre, and the second one's weight."""
    place = ((wanted + 0.5) * (source / target) - 0.5).clip(min=0)
    before = place.astype(np.int64).clip(max=source - 1)
    return before, (before + 1).clip(max=source - 1), (place - before).astype(np.float32)
