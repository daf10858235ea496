"""Images whose classes the classifier does not see: listed, never hidden."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from advcam.attribute.result import LocalizationMaps
from advcam.data.files import write_text
from advcam.pipeline.run import Run

COLUMNS = ("image", "class", "probability", "reason")
# Below it the classifier would not name the class itself.
SEEN = 0.5


@dataclass(frozen=True)
class Flag:
    """A known class of an image that the classifier does not see."""

    image: str
    class_name: str
    probability: float
    reason: str


def write_flags(run: Run) -> int:
    """Write ``flagged.csv`` from the maps of all wanted images; returns the number of images in it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    images = 0
    for record in run.wanted:
        path = run.folder.maps(record.id)
        found = flags_of(record.id, LocalizationMaps.load(path), run.class_names) if path.exists() else []
        images += bool(found)
        writer.writerows([flag.image, flag.class_name, f"{flag.probability:.4f}", flag.reason] for flag in found)
    write_text(run.folder.flagged, text.getvalue())
    return images


def flags_of(image_id: str, result: LocalizationMaps, class_names: tuple[str, ...]) -> list[Flag]:
    """The classes of one image that the classifier gives less than one half, or of which it finds no trace."""
    found = []
    for index, probability in zip(result.classes.tolist(), result.scores.tolist(), strict=True):
        if index in result.unseen:
            found.append(Flag(image_id, class_names[index], probability, "no trace: the map is zero everywhere"))
        elif probability < SEEN:
            found.append(Flag(image_id, class_names[index], probability, "the classifier would not name it"))
    return found


def read_flags(path: Path) -> list[Flag]:
    """What ``write_flags`` wrote, or nothing where it has not run."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [Flag(row["image"], row["class"], float(row["probability"]), row["reason"]) for row in rows]
