"""A run folder, or a folder of predictions, as a set that can be exported and reviewed. Nothing in it is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from advcam.attribute.result import LocalizationMaps
from advcam.data.images import open_image
from advcam.errors import RunError

MASKS, MAPS = "masks", "maps"


@dataclass(frozen=True)
class RunView:
    """Where the pictures, maps and masks of a run are.

    Args:
        root: the run folder.
        class_names: without the background.
        images: the picture of every image, by id, in order.
        labels: the 0-based classes of every image.
        own: the folder of the method's maps and masks, in ``root``.
        baseline: that of plain class activation maps; None where there is none.
        threshold: the background threshold that the seeds were made with, where it is known.
    """

    root: Path
    class_names: tuple[str, ...]
    images: Mapping[str, Path]
    labels: Mapping[str, tuple[int, ...]]
    own: str = "advcam"
    baseline: str | None = "cam"
    threshold: float | None = None
    splits: Mapping[str, str] = field(default_factory=dict)

    def mask_file(self, image_id: str, kind: str | None = None) -> Path:
        return self.root / (self.own if kind is None else kind) / MASKS / f"{image_id}.png"

    def maps_file(self, image_id: str, kind: str | None = None) -> Path:
        return self.root / (self.own if kind is None else kind) / MAPS / f"{image_id}.npz"

    def mask(self, image_id: str, kind: str | None = None) -> UInt8[np.ndarray, "H W"] | None:
        """The mask of an image; None where there is none."""
        path = self.mask_file(image_id, kind)
        return read_indices(path) if path.is_file() else None

    def maps(self, image_id: str, kind: str | None = None) -> LocalizationMaps | None:
        """The maps of an image; None where there are none."""
        path = self.maps_file(image_id, kind)
        return LocalizationMaps.load(path) if path.is_file() else None

    def with_masks(self) -> tuple[str, ...]:
        """The images that have a mask, in order."""
        return tuple(image_id for image_id in self.images if self.mask_file(image_id).is_file())


def read_indices(path: Path) -> UInt8[np.ndarray, "H W"]:
    """The values of an indexed picture.

    Raises:
        DataError: it cannot be read.
        RunError: it is in colours.
    """
    with open_image(path) as image:
        if len(image.getbands()) != 1:
            raise RunError(f"{path} is in colours, and a mask holds class numbers: make it again")
        return np.array(image, np.uint8)
