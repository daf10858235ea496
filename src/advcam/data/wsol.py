"""The text files of the protocol for weakly supervised object localization (Choe et al.)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from advcam.data.classes import ClassList, known_classes
from advcam.data.ids import BadEntry, image_id, inside
from advcam.data.reader import chosen_split, collect
from advcam.data.record import Box, ImageSet, Problem, Record
from advcam.data.text import read_text
from advcam.errors import DataError

IDS, LABELS, BOXES = "image_ids.txt", "class_labels.txt", "localization.txt"
_TRIED = 5
_DIGITS = 5


@dataclass(frozen=True)
class WSOL:
    """A folder with ``image_ids.txt``, ``class_labels.txt`` and perhaps ``localization.txt`` for each split.

    Each image has one class, given by its number. The names come from ``classes`` or from a ``classes.txt`` beside the
    lists, above them or beside the images; otherwise the numbers are the names. Paths are relative to ``images``, or
    to the nearest folder above the lists in which one of the first images lies. Boxes keep the numbers of the file.
    Sizes are read from the images, so ``image_sizes.txt`` is not needed. Lists of masks (OpenImages) are refused.
    """

    lists: Mapping[str, Path]
    images: Path | None = None
    classes: ClassList | None = None

    format = "WSOL metadata"
    one_split_at_a_time = True

    def splits(self) -> tuple[str, ...]:
        return tuple(sorted(self.lists))

    def read(self, split: str | None) -> ImageSet:
        top = next(iter(self.lists.values())).parent
        split = chosen_split(top, split, self.splits(), needed=self.one_split_at_a_time)
        assert split is not None
        folder = self.lists[split]
        names = [name for _, (name,) in _lines(folder / IDS, 1)]
        root = self.images or _image_root(folder, names)
        class_names = self._class_names(root, folder)
        labels = {name: label for _, (name, label) in _lines(folder / LABELS, 2)}
        boxes = _boxes(folder / BOXES) if (folder / BOXES).is_file() else None
        records: list[Record] = []
        problems: list[Problem] = []
        for number, (name,) in _lines(folder / IDS, 1):
            try:
                records.append(_record(root, name, labels, boxes, len(class_names)))
            except BadEntry as error:
                problems.append(Problem(str(folder / IDS), f"line {number} {error}"))
        listed = set(names)
        for name in [name for name in labels if name not in listed]:
            problems.append(
                Problem(str(folder / LABELS), f"the line of {name!r} belongs to no image of {IDS}: remove it")
            )
        return collect(self, root, split, class_names, records, problems)

    def _class_names(self, root: Path, folder: Path) -> tuple[str, ...]:
        """The names that are known, or the numbers up to the highest in any split."""
        for place in (folder, folder.parent, root):
            if (known := known_classes(self.classes, place)) is not None:
                return known
        files = [folder / LABELS for folder in self.lists.values()]
        numbers = [
            number for file in files for _, (_, label) in _lines(file, 2) if (number := _number(label)) is not None
        ]
        if not numbers:
            raise DataError(f"{files[0]}: no line gives a class: write 'path,number' with numbers from 0")
        return tuple(str(number) for number in range(max(numbers) + 1))


def _record(
    root: Path, name: str, labels: Mapping[str, str], boxes: Mapping[str, list[tuple[float, ...]]] | None, count: int
) -> Record:
    relative = inside(name)
    path = root / relative
    try:
        empty = path.stat().st_size == 0
    except OSError:
        raise BadEntry(
            f"names {name!r}, but there is no such image in {root}: put it there, or remove the line"
        ) from None
    if empty:
        raise BadEntry(f"names {name!r}, but the file is empty: replace it, or remove the line")
    if name not in labels:
        raise BadEntry(f"names {name!r}, an image without label: add it to {LABELS}, or remove the line")
    label = _number(labels[name])
    if label is None or label >= count:
        raise BadEntry(f"names {name!r}, whose class {labels[name]!r} is no number from 0 to {count - 1}: correct it")
    found = None if boxes is None else tuple(Box(label, *corners) for corners in boxes.get(name, ()))
    return Record(image_id(relative), path, (label,), boxes=found)


def _number(label: str) -> int | None:
    """The number of a class; None where it is no number, or one so high that it must be a slip."""
    return int(label) if label.isdecimal() and len(label) <= _DIGITS else None


def _boxes(path: Path) -> dict[str, list[tuple[float, ...]]]:
    boxes: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for number, (name, *corners) in _lines(path, 5):
        try:
            boxes[name].append(tuple(float(corner) for corner in corners))
        except ValueError:
            raise DataError(f"{path}: line {number} has a corner that is no number: write 'path,x0,y0,x1,y1'") from None
    return boxes


def _lines(path: Path, cells: int) -> list[tuple[int, list[str]]]:
    """The lines of a list with their numbers, each as so many cells; a path may itself hold commas."""
    lines = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        parts = [part.strip() for part in line.rsplit(",", cells - 1)]
        if len(parts) != cells:
            raise DataError(
                f"{path}: line {number} has {len(parts)} cells instead of {cells} (masks are not read): correct it"
            )
        lines.append((number, parts))
    return lines


def _image_root(folder: Path, names: list[str]) -> Path:
    """The nearest folder above the lists in which one of the first images lies."""
    for above in (folder, *folder.resolve().parents):
        if any((above / name).is_file() for name in names[:_TRIED] if ".." not in name):
            return above
    raise DataError(
        f"{folder / IDS}: none of its first images lies in a folder above it: give the images' folder as the data, and "
        "this one as its labels"
    )
