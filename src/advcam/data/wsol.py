"""The text files of the protocol for weakly supervised object localization (Choe et al.)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from advcam.data.classes import ClassList, known_classes
from advcam.data.ids import BadEntry, existing, image_id, is_file, spellings
from advcam.data.reader import chosen_split, collect
from advcam.data.record import Box, ImageSet, MaskFiles, Problem, Record
from advcam.data.text import read_text
from advcam.errors import DataError

IDS, LABELS, BOXES = "image_ids.txt", "class_labels.txt", "localization.txt"
# Suffix of the masks that a list may name in place of boxes.
_MASKS = ".png"
_TRIED = 5
_DIGITS = 5


@dataclass(frozen=True)
class WSOL:
    """A folder with ``image_ids.txt``, ``class_labels.txt`` and perhaps ``localization.txt`` for each split.

    Each image has one class, given by its number. The names come from ``classes`` or from a ``classes.txt`` beside the
    lists, above them or beside the images; otherwise the numbers are the names. Paths are relative to ``images``, or
    to the nearest folder above the lists in which one of the first images lies. Boxes keep the numbers of the file.
    Sizes are read from the images, so ``image_sizes.txt`` is not needed. Where ``localization.txt`` lists masks in
    place of boxes (OpenImages), their paths are relative to the images' root or to a folder ``masks`` in it.
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
        truth = _Truth.read(folder / BOXES, root)
        records: list[Record] = []
        problems: list[Problem] = []
        for number, (name,) in _lines(folder / IDS, 1):
            try:
                records.append(_record(root, name, labels, truth, len(class_names)))
            except BadEntry as error:
                problems.append(Problem(str(folder / IDS), f"line {number} {error}"))
        listed = set(names)
        for file, named in ((LABELS, labels), (BOXES, truth.boxes or truth.masks or {})):
            for name in [name for name in named if name not in listed]:
                problems.append(
                    Problem(str(folder / file), f"the line of {name!r} belongs to no image of {IDS}: remove it")
                )
        return collect(self, root, split, class_names, records, problems)

    def _class_names(self, root: Path, folder: Path) -> tuple[str, ...]:
        """The names that are known, or the numbers up to the highest in any split."""
        for place in (folder, folder.parent, root):
            if (known := known_classes(self.classes, place, numbered=True)) is not None:
                return known
        files = [folder / LABELS for folder in self.lists.values()]
        numbers = [
            number for file in files for _, (_, label) in _lines(file, 2) if (number := _number(label)) is not None
        ]
        if not numbers:
            raise DataError("no line gives a class: write 'path,number' with numbers from 0", files[0])
        return tuple(str(number) for number in range(max(numbers) + 1))


@dataclass(frozen=True)
class _Truth:
    """What ``localization.txt`` gives for each image: boxes, or masks; None where it is not there."""

    boxes: Mapping[str, list[tuple[float, ...]]] | None = None
    masks: Mapping[str, MaskFiles] | None = None

    @classmethod
    def read(cls, path: Path, root: Path) -> _Truth:
        if not path.is_file() or not path.read_bytes().strip():
            return cls()
        first = read_text(path).strip().split("\n", 1)[0].rsplit(",", 2)
        if len(first) == 3 and any(cell.strip().lower().endswith(_MASKS) for cell in first[1:]):
            return cls(masks=_masks(path, root))
        return cls(boxes=_boxes(path))


def _record(root: Path, name: str, labels: Mapping[str, str], truth: _Truth, count: int) -> Record:
    relative = existing(root, name)
    path = root / relative
    if name not in labels:
        raise BadEntry(f"names {name!r}, an image without label: add it to {LABELS}, or remove the line")
    label = _number(labels[name])
    if label is None or label >= count:
        raise BadEntry(f"names {name!r}, whose class {labels[name]!r} is no number from 0 to {count - 1}: correct it")
    found = truth.masks if truth.masks is not None else truth.boxes
    if found is not None and name not in found:
        raise BadEntry(f"names {name!r}, an image without a line in {BOXES}: add its boxes, or remove the line")
    if truth.masks is not None:
        return Record(image_id(relative), path, (label,), mask=truth.masks.get(name))
    boxes = None if truth.boxes is None else tuple(Box(label, *corners) for corners in truth.boxes.get(name, ()))
    return Record(image_id(relative), path, (label,), boxes=boxes)


def _number(label: str) -> int | None:
    """The number of a class; None where it is no number, or one so high that it must be a slip."""
    return int(label) if label.isdecimal() and len(label) <= _DIGITS else None


def _boxes(path: Path) -> dict[str, list[tuple[float, ...]]]:
    boxes: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for number, (name, *corners) in _lines(path, 5):
        try:
            boxes[name].append(tuple(float(corner) for corner in corners))
            if not all(map(isfinite, boxes[name][-1])):
                raise ValueError("not finite")
        except ValueError:
            raise DataError(
                f"line {number} has a corner that is no finite number: write 'path,x0,y0,x1,y1'", path
            ) from None
    return boxes


def _masks(path: Path, root: Path) -> dict[str, MaskFiles]:
    """OpenImages' lists: an object's mask a line, and in an image's first line what does not count."""
    objects: dict[str, list[Path]] = defaultdict(list)
    ignored: dict[str, Path] = {}
    for number, (name, mask, ignore) in _lines(path, 3):
        try:
            found = [None if not part else _mask_file(root, part) for part in (mask, ignore)]
        except BadEntry as error:
            raise DataError(f"line {number} {error}", path) from None
        if found[0] is not None:
            objects[name].append(found[0])
        if found[1] is not None:
            ignored[name] = found[1]
    return {name: MaskFiles(tuple(files), ignored.get(name)) for name, files in objects.items()}


def _mask_file(root: Path, name: str) -> Path:
    for relative in spellings(name):
        for path in (root / relative, root / "masks" / relative):
            if is_file(path):
                return path
    raise BadEntry(f"names the mask {name!r}, but there is no such file in {root} or its folder masks: put it there")


def _lines(path: Path, cells: int) -> list[tuple[int, list[str]]]:
    """The lines of a list with their numbers, each as so many cells; a path may itself hold commas."""
    lines = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        parts = [part.strip() for part in line.rsplit(",", cells - 1)]
        if len(parts) != cells:
            raise DataError(f"line {number} has {len(parts)} cells instead of {cells}: correct it", path)
        lines.append((number, parts))
    return lines


def _image_root(folder: Path, names: list[str]) -> Path:
    """The nearest folder above the lists in which one of the first images lies."""
    for above in (folder, *folder.resolve().parents):
        if any(is_file(above / name.replace("\\", "/")) for name in names[:_TRIED] if ".." not in name):
            return above
    raise DataError(
        "none of its first images lies in a folder above it: give the images' folder as the data, and "
        "this one as its labels",
        folder / IDS,
    )
