"""Data sets in the layout of COCO: image folders, and a JSON file for each split."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advcam.data.classes import ClassList, check_count, is_background, known_classes
from advcam.data.coco_json import Annotation, CocoFile, read_coco
from advcam.data.ids import BadEntry, existing, image_id, inside
from advcam.data.outlines import IGNORED_CLASS
from advcam.data.reader import chosen_split, collect
from advcam.data.record import Box, ImageSet, Polygons, Problem, Record
from advcam.errors import DataError, shortened

_TRIED = 5


@dataclass(frozen=True)
class COCO:
    """Objects annotated as in COCO: ``annotations/instances_<split>.json`` and the images in a folder ``<split>``.

    The classes are the categories in the order of their numbers (1 to 90 becomes 0 to 79 in COCO), an image's classes
    those of its annotations, crowds included; an image without any has no class and a mask of background. Larger
    objects are drawn before smaller ones, crowds before all. An image has no mask if one of its objects is only a
    box; where an outline encloses nothing, the object's box does not count in the mask. A category "background" is no
    class. The id is the file name without extension. ``classes`` may say which names are expected, in this order.
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
        wanted = [number for number in sorted(content.categories) if not is_background(content.categories[number])]
        numbers = {category: number for number, category in enumerate(wanted)}
        names = tuple(content.categories[category] for category in numbers)
        self._check_names(content.path, names)
        objects: defaultdict[Any, list[Annotation]] = defaultdict(list)
        for annotation in content.annotations:
            # What is annotated as background is what remains without it.
            if not is_background(content.categories.get(annotation.category_id, "")):
                objects[annotation.image_id].append(annotation)
        folder = _image_folder(self.root, split, content)
        records: list[Record] = []
        problems: list[Problem] = []
        times = Counter(image["id"] for image in content.images)
        for image in content.images:
            try:
                if times[image["id"]] > 1:
                    raise BadEntry(
                        f"({image['file_name']}) shares its number with another image, so nobody knows whose the "
                        "annotations are: renumber them"
                    )
                records.append(_record(folder, image, objects.get(image["id"], []), numbers))
            except BadEntry as error:
                problems.append(Problem(str(content.path), f"image {image['id']} {error}"))
        if nobodys := objects.keys() - times.keys():
            lost = ", ".join(sorted(str(image) for image in nobodys)[:3])
            message = f"annotations belong to images that are not listed ({lost}): add the images, or remove them"
            problems.append(Problem(str(content.path), message))
        return collect(self, self.root, split, names, records, problems, _notices(content.path, records, objects))

    def _check_names(self, path: Path, names: tuple[str, ...]) -> None:
        check_count(names, path)
        if twice := sorted(name for name, count in Counter(names).items() if count > 1):
            raise DataError(f"two categories are called {twice[0]!r}: rename one of them", path)
        expected = known_classes(self.classes, self.root)
        if expected is not None and expected != names:
            raise DataError(
                f"its categories are {shortened(names)}, not the {len(expected)} classes that were given "
                f"({shortened(expected)}): leave out the list of classes",
                path,
            )


def _record(folder: Path, image: dict[str, Any], objects: list[Annotation], numbers: Mapping[Any, int]) -> Record:
    name = existing(folder, str(image["file_name"]))
    for item in objects:
        if item.fault is not None:
            raise BadEntry(f"({name}) {item.fault}: correct the annotation")
        if item.category_id not in numbers:
            raise BadEntry(f"({name}) has the category {item.category_id}, which is not listed: correct the annotation")
    return Record(
        id=image_id(name),
        image=folder / name,
        classes=tuple(sorted({numbers[item.category_id] for item in objects})),
        mask=_mask(name, image, objects, numbers),
        boxes=tuple(_box(numbers[item.category_id], item.box) for item in objects if item.box is not None),
    )


def _box(class_index: int, box: tuple[float, float, float, float]) -> Box:
    x, y, width, height = box
    return Box(class_index, x, y, x + width, y + height)


def _mask(name: str, image: dict[str, Any], objects: list[Annotation], numbers: Mapping[Any, int]) -> Polygons | None:
    if not all(item.rings or item.runs is not None or (item.flat and item.box) for item in objects):
        return None
    size = _size(image) or next((item.runs_size for item in objects if item.runs_size is not None), None)
    if size is None:
        return None
    ordered = sorted(objects, key=lambda item: -item.area)
    for item in ordered:
        if item.runs_size not in (None, size):
            raise BadEntry(f"({name}) has runs for a size of {item.runs_size}, not {size}: correct the annotation")
    uncounted = [(IGNORED_CLASS, _outline(item.box)) for item in ordered if item.flat and not item.rings and item.box]
    return Polygons(
        rings=(*uncounted, *((numbers[item.category_id], ring) for item in ordered for ring in item.rings)),
        size=size,
        runs=tuple((numbers[item.category_id], item.runs) for item in ordered if item.runs is not None),
    )


def _outline(box: tuple[float, float, float, float]) -> array:
    x, y, width, height = box
    return array("d", (x, y, x + width, y, x + width, y + height, x, y + height))


def _notices(path: Path, records: list[Record], objects: Mapping[Any, list[Annotation]]) -> list[Problem]:
    """What is not used, or only in part."""
    notices = []
    if flat := sum(item.flat for items in objects.values() for item in items):
        message = f"{flat} objects have outlines of less than three corners: not drawn, and their boxes not counted"
        notices.append(Problem(str(path), message))
    without = [record.id for record in records if record.mask is None]
    if without and len(without) < len(records):
        message = f"{len(without)} images have no mask, since an object is only a box ({shortened(without)})"
        notices.append(Problem(str(path), message))
    return notices


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
