"""Data sets in the layout of COCO: image folders, and a JSON file for each split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advcam.data.classes import ClassList, known_classes, shortened
from advcam.data.coco_json import Annotation, CocoFile, read_coco
from advcam.data.ids import BadEntry, image_id, inside
from advcam.data.reader import chosen_split, collect
from advcam.data.record import Box, ImageSet, Polygons, Problem, Record
from advcam.errors import DataError

_TRIED = 5


@dataclass(frozen=True)
class COCO:
    """Objects annotated as in COCO: ``annotations/instances_<split>.json`` and the images in a folder ``<split>``.

    The classes are the categories in the order of their numbers (1 to 90 becomes 0 to 79 in COCO), an image's classes
    those of its annotations, crowds included; an image without any has no class and a mask of background. Larger
    objects are drawn before smaller ones, crowds before all. An image has no mask if one of its objects is only a
    box. The id is the file name without extension. ``classes`` may say which names are expected, in this order.
    """

    root: Path
    files: Mapping[str, Path]
    classes: ClassList | None = None

    format = "COCO layout"
    one_split_at_a_time = True

    def splits(self) -> tuple[str, ...]:
        return tuple(sorted(self.files))

    def read(self, split: str | None) -> ImageSet:
        split = chosen_split(self.root, split, self.splits(), needed=self.one_split_at_a_time)
        assert split is not None
        content = read_coco(self.files[split])
        numbers = {category: number for number, category in enumerate(sorted(content.categories))}
        names = tuple(content.categories[category] for category in numbers)
        self._check_names(content.path, names)
        objects: defaultdict[Any, list[Annotation]] = defaultdict(list)
        for annotation in content.annotations:
            objects[annotation.image_id].append(annotation)
        folder = _image_folder(self.root, split, content)
        records: list[Record] = []
        problems: list[Problem] = []
        for image in content.images:
            try:
                records.append(_record(folder, image, objects.pop(image["id"], []), numbers))
            except BadEntry as error:
                problems.append(Problem(str(content.path), f"image {image['id']} {error}"))
        if objects:
            lost = ", ".join(str(image) for image in list(objects)[:3])
            message = f"annotations belong to images that are not listed ({lost}): add the images, or remove them"
            problems.append(Problem(str(content.path), message))
        return collect(self, self.root, split, names, records, problems)

    def _check_names(self, path: Path, names: tuple[str, ...]) -> None:
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise DataError(f"{path}: two categories are called {twice[0]!r}: rename one of them")
        expected = known_classes(self.classes, self.root)
        if expected is not None and expected != names:
            raise DataError(
                f"{path}: its categories are {shortened(names)}, not the {len(expected)} classes that were given "
                f"({shortened(expected)}): leave out the list of classes"
            )


def _record(folder: Path, image: dict[str, Any], objects: list[Annotation], numbers: Mapping[Any, int]) -> Record:
    name = inside(str(image["file_name"]))
    path = folder / name
    try:
        empty = path.stat().st_size == 0
    except OSError:
        raise BadEntry(f"names {name!r}, but there is no such image in {folder}: put it there, or remove it") from None
    if empty:
        raise BadEntry(f"names {name!r}, but the file is empty: replace it, or remove it")
    for item in objects:
        if item.fault is not None:
            raise BadEntry(f"({name}) {item.fault}: correct the annotation")
        if item.category_id not in numbers:
            raise BadEntry(f"({name}) has the category {item.category_id}, which is not listed: correct the annotation")
    return Record(
        id=image_id(name),
        image=path,
        classes=tuple(sorted({numbers[item.category_id] for item in objects})),
        mask=_mask(name, image, objects, numbers),
        boxes=tuple(_box(numbers[item.category_id], item.box) for item in objects if item.box is not None),
    )


def _box(class_index: int, box: tuple[float, float, float, float]) -> Box:
    x, y, width, height = box
    return Box(class_index, x, y, x + width, y + height)


def _mask(name: str, image: dict[str, Any], objects: list[Annotation], numbers: Mapping[Any, int]) -> Polygons | None:
    if not all(item.rings or item.runs is not None for item in objects):
        return None
    size = _size(image) or next((item.runs_size for item in objects if item.runs_size is not None), None)
    if size is None:
        return None
    ordered = sorted(objects, key=lambda item: -item.area)
    for item in ordered:
        if item.runs_size not in (None, size):
            raise BadEntry(f"({name}) has runs for a size of {item.runs_size}, not {size}: correct the annotation")
    return Polygons(
        rings=tuple((numbers[item.category_id], ring) for item in ordered for ring in item.rings),
        size=size,
        runs=tuple((numbers[item.category_id], item.runs) for item in ordered if item.runs is not None),
    )


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    """Height and width, where the file gives them."""
    height, width = image.get("height"), image.get("width")
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _image_folder(root: Path, split: str, content: CocoFile) -> Path:
    """The folder that holds the images: the first of the usual ones in which one of the first images lies."""
    near = content.path.parent
    folders = (root / split, root / "images" / split, root / "images", root, near, root / "JPEGImages")
    names = []
    for image in content.images[:_TRIED]:
        try:
            names.append(inside(str(image["file_name"])))
        except BadEntry:
            # Reported with the other images.
            continue
    found = next((folder for folder in folders if any((folder / name).is_file() for name in names)), None)
    return found or next(folder for folder in (*folders, root) if folder.is_dir())
