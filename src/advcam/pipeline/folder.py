"""Where things are in a run folder (section 4 of the design), and which of them are whole."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from advcam.attribute.result import LocalizationMaps
from advcam.data.files import unwritable
from advcam.data.images import is_whole_picture
from advcam.data.record import Record
from advcam.errors import RunError
from advcam.pipeline.settings import CONFIG_FILE, MANIFEST_FILE


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run. Ids keep their sub-folders."""

    root: Path

    @property
    def classifier(self) -> Path:
        return self.root / "classifier"

    @property
    def config(self) -> Path:
        return self.root / CONFIG_FILE

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.json"

    @property
    def flagged(self) -> Path:
        return self.root / "flagged.csv"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    def maps(self, image_id: str, kind: str = "maps") -> Path:
        """Localization maps: kind "maps" of the method, "cam" of its baseline."""
        return self.root / kind / f"{image_id}.npz"

    def mask(self, image_id: str, kind: str = "masks") -> Path:
        """Masks: kind "masks" of the method, "cam_masks" of its baseline."""
        return self.root / kind / f"{image_id}.png"

    def saliency(self, image_id: str) -> Path:
        """The salient-object map: 8-bit grey, 255 most salient."""
        return self.root / "saliency" / f"{image_id}.png"

    def overlay(self, image_id: str) -> Path:
        """The mask over its image, to look at."""
        return self.root / "overlays" / f"{image_id}.jpg"

    def score_maps(self, image_id: str) -> Path:
        """Raw maps of a localization run, on the network's grid."""
        return self.root / "score_maps" / f"{image_id}.npz"

    @property
    def boxes(self) -> Path:
        """Boxes of all images as a table; COCO's JSON lies beside it."""
        return self.root / "boxes.csv"

    def box_overlay(self, image_id: str) -> Path:
        """The image with its boxes, to look at."""
        return self.root / "box_overlays" / f"{image_id}.jpg"

    def remove(self, *names: str) -> None:
        """Delete what stages made, for --overwrite."""
        for name in names:
            path = self.root / name
            try:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            except OSError as error:
                raise unwritable(path, error) from error

    def remove_if_empty(self) -> None:
        """Delete a folder in which nothing was made yet: it holds no file but its manifest and configuration."""
        files = {path.name for path in self.root.rglob("*") if path.is_file()}
        if files <= {MANIFEST_FILE, CONFIG_FILE}:
            shutil.rmtree(self.root, ignore_errors=True)

    def has_maps(self, record: Record, kind: str = "maps") -> bool:
        """True where the image's maps are whole and of its classes."""
        path = self.maps(record.id, kind)
        if not path.exists():
            return False
        try:
            return LocalizationMaps.load(path).classes.tolist() == list(record.classes)
        except RunError:
            return False

    def has_mask(self, record: Record, kind: str, maps_kind: str) -> bool:
        """True where the image's mask is whole and not older than its maps."""
        path = self.mask(record.id, kind)
        try:
            if path.stat().st_mtime_ns < self.maps(record.id, maps_kind).stat().st_mtime_ns:
                return False
        except OSError:
            return False
        return is_whole_picture(path)
