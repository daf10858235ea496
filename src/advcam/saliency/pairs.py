"""Pairs of a picture and its foreground, to train a detector on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from advcam.data.ids import fraction
from advcam.data.images import image_size, read_image
from advcam.data.listing import list_images
from advcam.data.masks import IGNORE, read_mask
from advcam.data.open import open_dataset
from advcam.data.record import Record
from advcam.errors import DataError, shortened
from advcam.saliency.settings import DetectorSettings


@dataclass(frozen=True)
class Pair:
    """A picture and its mask; ``grey``: the mask is a picture of how salient each pixel is, not of class numbers."""

    record: Record
    grey: bool

    def read(self) -> tuple[UInt8[np.ndarray, "H W 3"], Float32[np.ndarray, "H W"], Bool[np.ndarray, "H W"]]:
        """The picture, its foreground in [0, 1], and where that is known."""
        image = read_image(self.record.image)
        if self.grey:
            assert isinstance(self.record.mask, Path)
            level = read_image(self.record.mask).max(axis=2).astype(np.float32)
            if level.shape != image.shape[:2]:
                raise DataError(
                    f"the mask is {level.shape[1]} x {level.shape[0]} pixels, but its picture is "
                    f"{image.shape[1]} x {image.shape[0]}: make both the same size",
                    self.record.mask,
                )
            # As in the program: whatever value stands for the object becomes 1.
            return image, level / max(float(level.max()), 1.0), np.ones(level.shape, bool)
        mask = read_mask(self.record, image.shape[:2])
        known = mask != IGNORE
        return image, ((mask > 0) & known).astype(np.float32), known


def find_pairs(settings: DetectorSettings, mapped: Collection[str] = ()) -> tuple[list[Pair], list[Pair]]:
    """The pairs to train on and those held out, as ``detector.data`` and its companions name them.

    Args:
        mapped: ids of images that the run itself maps: they are left out, or the maps would have seen the truth.
    """
    assert settings.data is not None
    pairs = grey_pairs(settings.data, settings.masks) if settings.masks else labelled_pairs(settings)
    excluded = set(mapped)
    kept = [pair for pair in pairs if pair.record.id not in excluded]
    if not kept:
        left = f", since all {len(pairs)} of its images with a mask are mapped by this run" if pairs else ""
        raise DataError(
            f"no image is left to train the detector on{left}: name other images with detector.data "
            "or detector.split, or trained weights with saliency.weights",
            settings.data,
        )
    held = [pair for pair in kept if fraction(pair.record.id) < settings.holdout]
    chosen = {pair.record.id for pair in held}
    return [pair for pair in kept if pair.record.id not in chosen], held


def labelled_pairs(settings: DetectorSettings) -> list[Pair]:
    """All images of a labelled data set that have a mask of classes."""
    images = open_dataset(str(settings.data), settings.split)
    return [Pair(record, grey=False) for record in images.records if record.mask is not None]


def grey_pairs(pictures: str, masks: str) -> list[Pair]:
    """Pictures of one folder with the masks of another, by their names without extension."""
    for folder, name in ((pictures, "data"), (masks, "masks")):
        if not Path(folder).is_dir():
            raise DataError(f"there is no such folder: correct detector.{name}", folder)
    of_pictures, of_masks = list_images(Path(pictures)), list_images(Path(masks))
    missing = [name for name in of_pictures.ids if name not in of_masks.ids]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(of_pictures.ids)} pictures in {pictures} have no mask there "
            f"({shortened(missing, most=10)}): add the masks, or take the pictures out",
            masks,
        )
    return [
        Pair(Record(name, Path(pictures) / files[0], (), Path(masks) / of_masks.ids[name][0]), grey=True)
        for name, files in of_pictures.ids.items()
    ]


def check_pairs(pairs: Sequence[Pair]) -> None:
    """Look at every file's header before a training begins; DataError for the first that cannot be used."""
    for pair in pairs:
        image_size(pair.record.image)
        if isinstance(pair.record.mask, Path):
            image_size(pair.record.mask)
