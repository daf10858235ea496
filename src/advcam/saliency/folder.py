"""Saliency maps that are there already: a folder of pictures, named by the ids of the images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float32, UInt8

from advcam.data.images import image_size, read_image
from advcam.data.listing import list_images
from advcam.data.record import Record
from advcam.errors import DataError, shortened
from advcam.saliency.source import resized

# Some data sets keep their images in a folder of this name, which their maps do not repeat.
IMAGE_FOLDER = "images/"


@dataclass(frozen=True)
class FolderMaps:
    """A folder of maps; ``open`` looks through it as a whole before anything is made."""

    files: dict[str, Path]
    """Path of the map by the image's id."""
    missing: tuple[str, ...]
    """Ids without a map."""
    batch_size: ClassVar[int] = 1

    @classmethod
    def open(
        cls,
        folder: str | Path,
        records: Sequence[Record],
        *,
        without: bool = False,
        advance: Callable[[], object] = lambda: None,
    ) -> FolderMaps:
        """Find the map of every image and check its kind and shape, from its header.

        A map may be of any size, but not of another shape: its height and width have the image's ratio, to one
        pixel, or it is square, the form in which detectors put them out.

        Args:
            folder: holds ``<id>.png``, or another kind of picture; sub-folders as in the ids.
            without: go on without the maps that are missing.
            advance: called after each image.

        Raises:
            DataError: maps are missing (all are counted, ten are named), or maps cannot be used or read.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise DataError("there is no such folder of saliency maps: correct saliency.folder", folder)
        listing = list_images(folder)
        files: dict[str, Path] = {}
        missing: list[str] = []
        faults: list[str] = []
        for record in records:
            found = listing.ids.get(record.id) or listing.ids.get(record.id.removeprefix(IMAGE_FOLDER)) or ()
            if len(found) > 1:
                faults.append(f"{folder}: the image {record.id} has the maps {' and '.join(found)}: remove one of them")
            elif not found:
                missing.append(record.id)
            else:
                files[record.id] = folder / found[0]
                try:
                    check_shape(folder / found[0], image_size(folder / found[0]), image_size(record.image))
                except DataError as error:
                    faults.append(str(error))
            advance()
        if faults:
            raise DataError(faults[0] + (f" ({len(faults) - 1} more maps cannot be used)" if len(faults) > 1 else ""))
        if missing and not without:
            raise DataError(
                f"{len(missing)} of {len(records)} images have no saliency map ({shortened(missing, most=10)}): put "
                f"{missing[0]}.png and the others there, or climb these images without region D with "
                "saliency.missing without",
                folder,
            )
        return cls(files, tuple(missing))

    def __call__(
        self, ids: Sequence[str], images: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    ) -> list[Float32[np.ndarray, "_ _"] | None]:
        """The maps of the pictures, at the pictures' sizes; DataError where a file turns out damaged."""
        return [
            read_map(self.files[name], image.shape[:2]) if name in self.files else None
            for name, image in zip(ids, images, strict=True)
        ]


def read_map(path: Path, size: tuple[int, int]) -> Float32[np.ndarray, "H W"]:
    """A picture as a map in [0, 1] of the given height and width: mean of the channels over 255, then bilinear."""
    return resized(read_image(path).mean(axis=2, dtype=np.float32) / 255, size)


def check_shape(path: Path, found: tuple[int, int], wanted: tuple[int, int]) -> None:
    """Raise DataError for a map that does not lie over its image.

    >>> check_shape(Path("a.png"), (188, 250), (375, 500))
    >>> check_shape(Path("a.png"), (320, 320), (375, 500))
    """
    height, width = found
    fits = abs(height * wanted[1] / wanted[0] - width) <= 1 or abs(width * wanted[0] / wanted[1] - height) <= 1
    if fits or height == width:
        return
    raise DataError(
        f"the saliency map is {width} x {height} pixels, but its image (turned by its EXIF orientation) is "
        f"{wanted[1]} x {wanted[0]}, of another shape: make it of the image's shape, or square",
        path,
    )
