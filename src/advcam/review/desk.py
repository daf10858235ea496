"""Reviewing the masks of a run, image by image. Everything that is decided is on the disk before the next image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch.nn.functional import interpolate

from advcam.data.images import read_image
from advcam.data.masks import resized_labels
from advcam.data.transforms import resize_long_side
from advcam.errors import DataError
from advcam.export.source import RunView
from advcam.refine.seeds import seed_labels
from advcam.review.table import Entry, by_image, decide, read_table

TABLE = "review.csv"
# Longer side of a picture on the desk, in pixels.
SIDE = 640


@dataclass
class Desk:
    """The queue of a run and what can be done with the image on top of it.

    Raises:
        DataError: there is nothing to review.
    """

    view: RunView
    entries: dict[str, list[Entry]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.refresh()
        if not self.entries:
            raise DataError(f"{self.table} lists no image: run `advcam review --out {self.view.root}` first")

    @property
    def table(self) -> Path:
        return self.view.root / TABLE

    def refresh(self) -> None:
        """Read the queue again."""
        known = [entry for entry in read_table(self.table) if entry.image in self.view.images]
        self.entries = by_image(known)

    @property
    def ids(self) -> list[str]:
        """The images, the most doubtful first."""
        return list(self.entries)

    def waiting(self) -> list[str]:
        """Those that nobody has decided on."""
        return [image_id for image_id, own in self.entries.items() if not all(entry.decision for entry in own)]

    def picture(self, image_id: str) -> UInt8[np.ndarray, "h w 3"]:
        """The picture at the desk's size: a small one enlarged, so that it can be painted on."""
        return resize_long_side(read_image(self.view.images[image_id]), SIDE)

    def mask(self, image_id: str) -> UInt8[np.ndarray, "H W"]:
        """The corrected mask where there is one, else the run's, at the picture's full size."""
        found = self.view.best_mask(image_id)
        if found is None:
            raise DataError(f"{image_id} has no mask in {self.view.root}: run `advcam refine` first")
        return found

    def names(self, image_id: str) -> tuple[str, ...]:
        """The labels of an image as they are known now."""
        own = tuple(self.view.class_names[index] for index in self.view.labels.get(image_id, ()))
        return self.view.corrected.labels().get(image_id, own)

    def at_threshold(self, image_id: str, threshold: float) -> UInt8[np.ndarray, "H W"]:
        """The seed of an image at a threshold of its own, at full size, of its present labels only."""
        maps = self.view.maps(image_id)
        if maps is None:
            raise DataError(f"{image_id} has no maps in {self.view.root}: run `advcam attribute` first")
        names = self.names(image_id)
        kept = [k for k, index in enumerate(maps.classes.tolist()) if self.view.class_names[index] in names]
        full = torch.from_numpy(maps.maps[kept]).float()
        full = interpolate(full[:, None], maps.image_size, mode="bilinear", align_corners=False)[:, 0]
        return seed_labels(full, torch.from_numpy(maps.classes[kept]), threshold).numpy()

    def accept(self, image_id: str) -> None:
        """The mask is right: it counts as truth from now on."""
        self.view.corrected.keep(image_id, self.mask(image_id))
        self._decide(image_id, "accepted")

    def reject(self, image_id: str) -> None:
        """The mask is wrong and is to be left out; an earlier correction is taken back."""
        self.view.corrected.mask(image_id).unlink(missing_ok=True)
        self._decide(image_id, "rejected")

    def correct(self, image_id: str, mask: UInt8[np.ndarray, "H W"]) -> None:
        """Another mask takes the place of the run's, and counts as truth.

        Raises:
            DataError: it has another size, or values of no class.
        """
        expected = self.mask(image_id).shape
        if mask.shape != expected:
            raise DataError(f"the mask of {image_id} must have {expected[1]} x {expected[0]} pixels: paint it again")
        wrong = [int(v) for v in np.unique(mask) if len(self.view.class_names) < v < 255]
        if wrong:
            raise DataError(f"the mask of {image_id} holds {wrong[0]}, which is no class: paint it again")
        self.view.corrected.keep(image_id, mask)
        self._decide(image_id, "corrected")

    def relabel(self, image_id: str, names: Sequence[str]) -> None:
        """Other labels for the image.

        Raises:
            DataError: a name is none of the classes.
        """
        for name in names:
            if name not in self.view.class_names:
                raise DataError(f"{name!r} is none of the classes: choose from the list")
        self.view.corrected.relabel({image_id: [name for name in self.view.class_names if name in names]})
        self._decide(image_id, "relabelled")

    def _decide(self, image_id: str, decision: str) -> None:
        own = self.entries[image_id]
        decide(self.table, {(image_id, entry.class_name): decision for entry in own})
        self.entries[image_id] = [replace(entry, decision=decision) for entry in own]


def painted(
    before: UInt8[np.ndarray, "H W"],
    strokes: UInt8[np.ndarray, "h w 4"],
    colours: dict[int, tuple[int, int, int]],
) -> UInt8[np.ndarray, "H W"]:
    """A mask with what was painted over it: where a stroke covers a pixel, the label of the nearest colour.

    Args:
        before: the mask.
        strokes: RGBA, of any size.
        colours: of each label.

    >>> strokes = np.array([[[250, 5, 0, 255], [0, 0, 0, 0]]], np.uint8)
    >>> painted(np.zeros((1, 2), np.uint8), strokes, {0: (0, 0, 0), 3: (255, 0, 0)}).tolist()
    [[3, 0]]
    """
    labels = np.array(list(colours), np.uint8)
    values = np.array(list(colours.values()), np.int64)
    covered = strokes[..., 3] > 127
    found = np.zeros(covered.shape, np.uint8)
    distance = ((strokes[covered][:, None, :3].astype(np.int64) - values) ** 2).sum(axis=2)
    found[covered] = labels[distance.argmin(axis=1)]
    size = (before.shape[0], before.shape[1])
    return np.where(resized_labels(covered.astype(np.uint8), size) > 0, resized_labels(found, size), before).astype(
        np.uint8
    )
