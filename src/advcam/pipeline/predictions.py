"""What ``predict`` writes: a mask and an overlay per image, and a table of the classes' areas."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from advcam.data.classes import BACKGROUND
from advcam.data.files import read_json, remove_leftovers, write_json, writing
from advcam.data.images import is_whole_picture, open_picture
from advcam.data.masks import voc_palette, write_mask
from advcam.data.transforms import resize_long_side
from advcam.errors import DataError, RunError
from advcam.pipeline.folder import RunFolder
from advcam.pipeline.labelling import Labelled
from advcam.pipeline.manifest import differences, plain
from advcam.pipeline.progress import say
from advcam.report.overlays import OverlaySettings, mask_overlay
from advcam.segment.inference import resized_labels

SETTINGS_FILE, AREAS_FILE, LEFT_OUT_FILE = "predict.json", "areas.csv", "left_out.csv"
AREA_COLUMNS = ("image", "class", "label", "pixels", "fraction")
MASKS, OVERLAYS = "masks", "overlays"
# A longer side than this, in pixels, is reduced in an overlay.
OVERLAY_SIDE = 1280


@dataclass(frozen=True)
class Predictions:
    """A folder of predictions.

    Args:
        root: the folder.
        class_names: without the background.
        overlays: whether pictures are written beside the masks.
    """

    root: Path
    class_names: tuple[str, ...]
    overlays: bool
    left_out: dict[str, str] = field(default_factory=dict)
    """Images that cannot be read, and why."""

    def prepare(self, settings: Mapping[str, Any], overwrite: bool) -> None:
        """Note what the predictions are made with.

        Raises:
            RunError: the folder holds something else, or predictions made otherwise and not ``overwrite``.
        """
        path = self.root / SETTINGS_FILE
        if path.exists():
            changed = differences(read_json(path), plain(settings))
            if changed and not overwrite:
                raise RunError(
                    f"{self.root} holds predictions made otherwise ({'; '.join(changed[:3])}): choose another --out, "
                    "or give --overwrite to replace them"
                )
            if changed:
                say(f"predict: replacing predictions made otherwise ({'; '.join(changed[:3])})")
                RunFolder(self.root).remove(MASKS, OVERLAYS, AREAS_FILE, LEFT_OUT_FILE)
        elif self.root.is_dir() and any(self.root.iterdir()):
            raise RunError(f"{self.root} holds other files and no {SETTINGS_FILE}: choose an empty --out")
        else:
            self.root.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.root)
        write_json(path, plain(settings))

    def mask(self, image_id: str) -> Path:
        return self.root / MASKS / f"{image_id}.png"

    def overlay(self, image_id: str) -> Path:
        return self.root / OVERLAYS / f"{image_id}.jpg"

    def has(self, image_id: str, image: Path) -> bool:
        """True where the image's mask is whole and not older than the image."""
        mask = self.mask(image_id)
        try:
            if mask.stat().st_mtime_ns < image.stat().st_mtime_ns:
                return False
        except OSError:
            return False
        return is_whole_picture(mask) and (not self.overlays or self.overlay(image_id).exists())

    def counts(self, image_id: str) -> list[int]:
        """Pixels of each label in a mask that is there."""
        with open_picture(self.mask(image_id)) as opened:
            return self.count(np.asarray(opened))

    def count(self, labels: UInt8[np.ndarray, "H W"]) -> list[int]:
        """Pixels of each label, the background first."""
        return np.bincount(labels.ravel(), minlength=len(self.class_names) + 1).tolist()

    def write(self, found: Labelled) -> tuple[str, list[int]]:
        """Write an image's files, its mask last, so that where it is the other one is; returns the pixels by label."""
        if self.overlays:
            image = found.image
            if max(image.shape) > OVERLAY_SIDE:
                image = resize_long_side(image, OVERLAY_SIDE)
            labels = resized_labels(found.labels, image.shape[:2])
            drawn = mask_overlay(image, labels, voc_palette(), OverlaySettings(hatch_ignored=False))
            with writing(self.overlay(found.id)) as temporary:
                Image.fromarray(drawn).save(temporary, "JPEG", quality=90)
        write_mask(self.mask(found.id), found.labels)
        return found.id, self.count(found.labels)

    def note_unreadable(self, image_id: str, error: DataError) -> None:
        # The images are not those of a run, which knows that option.
        self.left_out[image_id] = str(error).replace(", or leave it out with --skip-bad", "")

    def list_unreadable(self) -> Path:
        """Write the table of the images that cannot be read."""
        path = self.root / LEFT_OUT_FILE
        with writing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("image", "reason"), *self.left_out.items()])
        return path

    @contextmanager
    def table(self) -> Iterator[AreaTable]:
        """The table of areas, written anew; an interrupted run leaves the rows that it has."""
        stopped: KeyboardInterrupt | None = None
        with writing(self.root / AREAS_FILE) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(AREA_COLUMNS)
            try:
                yield AreaTable(writer, (BACKGROUND, *self.class_names))
            except KeyboardInterrupt as interruption:
                stopped = interruption
        if stopped is not None:
            raise stopped


@dataclass(frozen=True)
class AreaTable:
    """Rows of ``areas.csv``: one per image and label that is in it."""

    writer: Any
    names: tuple[str, ...]

    def add(self, image_id: str, counts: list[int]) -> None:
        """The rows of one image."""
        total = sum(counts)
        for label, count in enumerate(counts):
            if count:
                self.writer.writerow((image_id, self.names[label], label, count, f"{count / total:.6f}"))
