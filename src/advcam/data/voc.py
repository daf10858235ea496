"""Data sets in the layout of PASCAL VOC."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from advcam.data.classes import VOC_CLASSES, ClassList, class_indices, known_classes
from advcam.data.ids import BadEntry, composed, image_id, is_file, spellings
from advcam.data.listing import Listing, list_images
from advcam.data.mask_files import mask_folder
from advcam.data.masks import OBJECTS
from advcam.data.reader import chosen_split, collect
from advcam.data.record import ImageSet, Problem, Record
from advcam.data.text import read_text
from advcam.data.voc_labels import ANNOTATIONS, IMAGES, MASKS, Labels, find_labels
from advcam.data.voc_xml import read_annotation

LISTS = "ImageSets"
_LIST_FOLDERS = ("Segmentation", "Main")
# In Main there is also a list for each class and split.
_CLASS_LIST = re.compile(r"(.+)_(?:train|val|trainval|test)")


@dataclass(frozen=True)
class VOC:
    """``JPEGImages``, ``SegmentationClass``, ``SegmentationObject``, ``Annotations`` and the lists in ``ImageSets``.

    A split is a list in ``ImageSets/Segmentation`` or ``ImageSets/Main`` (``Main/train`` where both have one of that
    name); without any list all images are read. A line is an id, or an image and a mask as
    ``/JPEGImages/a.jpg /SegmentationClassAug/a.png``. Labels come from ``labels``, ``image_labels.csv``,
    ``cls_labels.npy`` or the annotations (see ``find_labels``), boxes from the annotations. An image has a mask where
    its file is there. The id is the name under ``JPEGImages``.
    """

    root: Path
    labels: Path | None = None
    classes: ClassList | None = None

    format = "Pascal VOC layout"
    one_split_at_a_time = True

    def splits(self) -> tuple[str, ...]:
        return tuple(self._lists())

    def read(self, split: str | None) -> ImageSet:
        lists = self._lists()
        split = chosen_split(self.root, split, tuple(lists), needed=self.one_split_at_a_time)
        images = list_images(self.root / IMAGES)
        labels = find_labels(self.root, self.labels, known_classes(self.classes, self.root))
        reading = _Reading(self.root, images, labels)
        problems = [*images.problems, *reading.masks.problems]
        notices = [*labels.notices, *reading.masks.notices]
        records = []
        if split is None:
            source, lines = self.root / IMAGES, list(images.files.values())
        else:
            source, lines = lists[split], read_text(lists[split]).split("\n")
        for number, line in enumerate(lines, 1):
            try:
                if line.strip():
                    records.append(reading.record(line.strip()))
            except BadEntry as error:
                where = f"line {number}" if split is not None else "the image"
                problems.append(Problem(str(source), f"{where} {error}"))
        return collect(self, self.root, split, labels.class_names, records, problems, notices)

    def _lists(self) -> dict[str, Path]:
        lists: dict[str, Path] = {}
        for folder in _LIST_FOLDERS:
            for path in sorted((self.root / LISTS / folder).glob("*.txt")):
                match = _CLASS_LIST.fullmatch(path.stem)
                if folder == "Main" and match and match[1] in VOC_CLASSES:
                    continue
                lists[path.stem if path.stem not in lists else f"{folder}/{path.stem}"] = path
        return lists


class _Reading:
    """Makes records out of the lines of a list."""

    def __init__(self, root: Path, images: Listing, labels: Labels) -> None:
        self.root, self.images, self.labels = root, images, labels
        self.index: Mapping[str, int] = {name: number for number, name in enumerate(labels.class_names)}
        self.masks = mask_folder(root / MASKS, images.ids)

    def record(self, line: str) -> Record:
        name, listed_mask = self._parse(line)
        relative = self.images.find(name)
        if relative in self.images.empty:
            raise BadEntry(f"names {name!r}, but the file {IMAGES}/{relative} is empty: replace it, or remove the line")
        image = image_id(relative)
        names = self.labels.of(image)
        if names is None:
            raise BadEntry(f"names {name!r}, an image without label: add its classes to the labels, or remove the line")
        annotation = read_annotation(self.root / ANNOTATIONS / f"{image}.xml")
        return Record(
            id=image,
            image=self.root / IMAGES / relative,
            classes=class_indices(names, self.index),
            mask=self._mask(image, listed_mask),
            boxes=None if annotation is None else annotation.boxes(self.index),
            objects=self._objects(image),
        )

    def _objects(self, image: str) -> Path | None:
        path = self.root / OBJECTS / f"{image}.png"
        return path if path.is_file() else None

    def _parse(self, line: str) -> tuple[str, str | None]:
        """The image in a line, and the mask where it names one."""
        if line.startswith("/"):
            match = re.fullmatch(r"/(.+?\.\w+)\s+/(.+)", line)
            image, mask = (match[1], match[2]) if match else (line[1:], None)
            return image.removeprefix(f"{IMAGES}/"), mask
        whole = composed(line)
        return (line if whole in self.images.ids or whole in self.images.files else line.split()[0]), None

    def _mask(self, image: str, listed: str | None) -> Path | None:
        if listed is not None:
            path = self.root / spellings(listed)[-1]
            if is_file(path):
                return path
            # Lists of train_aug name SegmentationClassAug, which those who only have labels do not have.
            if path.parent.is_dir():
                raise BadEntry(
                    f"names the mask {listed!r}, but there is no such file: put it there, or remove its name"
                )
        return self.masks.of(image)
