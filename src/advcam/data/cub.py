"""CUB-200-2011 as it is distributed: 200 kinds of birds, one box in each image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from advcam.data.classes import ClassList, known_classes
from advcam.data.ids import BadEntry, existing, image_id
from advcam.data.images import image_size
from advcam.data.reader import chosen_split, collect
from advcam.data.record import Box, ImageSet, Problem, Record, as_problem
from advcam.data.text import read_text
from advcam.errors import DataError

IMAGES, NAMES = "images", "images.txt"
LABELS, SPLITS, BOXES, CLASSES = (
    "image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt", "classes.txt",
)  # fmt: skip
ARCHIVE, MD5 = "CUB_200_2011.tgz", "97eceeb196236b17998738112f37df78"
# What the whole data set has: classes, training and test images.
OFFICIAL = (200, 5_994, 5_794)


@dataclass(frozen=True)
class CUB:
    """The folder ``CUB_200_2011``: lists by image number, and ``images``.

    Boxes are x, y, x + w, y + h of the list, at most W - 1 and H - 1, as the WSOL benchmark has them.
    """

    root: Path
    classes: ClassList | None = None

    format = "CUB-200-2011"
    one_split_at_a_time = True

    def splits(self) -> tuple[str, ...]:
        return ("test", "train")

    def read(self, split: str | None) -> ImageSet:
        split = chosen_split(self.root, split, self.splits(), needed=True)
        wanted = "1" if split == "train" else "0"
        class_names = (
            known_classes(self.classes, Path(), numbered=True) if self.classes is not None else self._class_names()
        )
        assert class_names is not None
        labels, parts, boxes = (dict(self._rows(file)) for file in (LABELS, SPLITS, BOXES))
        records: list[Record] = []
        problems: list[Problem] = []
        for number, name in self._rows(NAMES):
            if parts.get(number) != wanted:
                continue
            try:
                records.append(self._record(name, labels.get(number), boxes.get(number), len(class_names)))
            except BadEntry as error:
                problems.append(Problem(str(self.root / NAMES), f"image {number} {error}"))
            except DataError as error:
                problems.append(as_problem(error))
        return collect(self, self.root / IMAGES, split, class_names, records, problems)

    def integrity(self) -> list[Problem]:
        """Whether this is all of the data set."""
        parts = [part for _, part in self._rows(SPLITS)]
        found = (len(self._class_names()), parts.count("1"), parts.count("0"))
        if found == OFFICIAL:
            return []
        message = (
            f"there are {found[0]} classes, {found[1]} training and {found[2]} test images, where CUB-200-2011 has "
            f"{OFFICIAL[0]}, {OFFICIAL[1]} and {OFFICIAL[2]}: unpack {ARCHIVE} again (its MD5 is {MD5})"
        )
        return [Problem(str(self.root), message)]

    def _class_names(self) -> tuple[str, ...]:
        return tuple(name for _, name in self._rows(CLASSES))

    def _rows(self, file: str) -> Iterator[tuple[str, str]]:
        """The number that begins each line, and the rest of it."""
        for number, line in enumerate(read_text(self.root / file).split("\n"), 1):
            if line.strip():
                key, _, rest = line.strip().partition(" ")
                if not rest:
                    raise DataError(f"line {number} has one column: restore the file", self.root / file)
                yield key, rest.strip()

    def _record(self, name: str, label: str | None, box: str | None, count: int) -> Record:
        relative = existing(self.root / IMAGES, name)
        path = self.root / IMAGES / relative
        if label is None or not label.isdecimal() or not 1 <= int(label) <= count:
            raise BadEntry(f"names {name!r}, whose class {label!r} is no number from 1 to {count}: restore {LABELS}")
        index = int(label) - 1
        try:
            x, y, width, height = map(float, (box or "").split())
            if not all(map(isfinite, (x, y, width, height))):
                raise ValueError("not finite")
        except ValueError:
            raise BadEntry(f"names {name!r}, an image without four numbers of a box: restore {BOXES}") from None
        rows, columns = image_size(path)
        corners = (x, y, min(x + width, columns - 1), min(y + height, rows - 1))
        return Record(image_id(relative), path, (index,), boxes=(Box(index, *corners),))
