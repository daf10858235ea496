"""One folder for each class, with its images in it: the layout of torchvision's ImageFolder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from advcam.data.classes import ClassList, class_indices, known_classes
from advcam.data.folder import IMAGE_FOLDER, MASK_FOLDER
from advcam.data.ids import BadEntry, image_id
from advcam.data.listing import list_images
from advcam.data.reader import chosen_split, collect, ordered
from advcam.data.record import ImageSet, Problem, Record
from advcam.errors import DataError


@dataclass(frozen=True)
class ClassFolders:
    """Images in a folder that is called like their class, under ``root``, or under a sub-folder for each split.

    ``parts`` gives the folder of each split relative to the root, or a single one, the root itself, under None. The
    classes are ``classes``, or those of ``classes.txt``, or the names of the folders in all splits in alphabetical
    order. A folder ``masks`` beside the class folders, with folders of the same names in it, holds ground truth.
    """

    root: Path
    parts: Mapping[str | None, str]
    classes: ClassList | None = None

    format = "one folder for each class"
    one_split_at_a_time = False

    def splits(self) -> tuple[str, ...]:
        return tuple(sorted(name for name in self.parts if name is not None))

    def read(self, split: str | None) -> ImageSet:
        split = chosen_split(self.root, split, self.splits(), needed=self.one_split_at_a_time)
        parts = {name: _Part(self.root, part) for name, part in self.parts.items()}
        names = known_classes(self.classes, self.root)
        if names is None:
            names = ordered(name for part in parts.values() for name in part.class_names)
        if len(names) < 2 or set(names) <= {IMAGE_FOLDER, MASK_FOLDER}:
            raise DataError(
                f"{self.root}: there are no labels, only {' and '.join(names)}: put the images of each class into a "
                "folder of its own, or add a table labels.csv with the columns image and labels"
            )
        index = {name: number for number, name in enumerate(names)}
        records: list[Record] = []
        problems: list[Problem] = []
        for name, part in parts.items():
            if name is None or split in (None, name):
                problems += part.images.problems
                for relative in part.images.files.values():
                    try:
                        records.append(part.record(relative, index))
                    except BadEntry as error:
                        problems.append(Problem(str(part.folder / relative), f"the image {error}"))
        return collect(self, self.root, split, names, records, problems)


class _Part:
    """The images and masks of one split."""

    def __init__(self, root: Path, part: str) -> None:
        self.prefix = f"{part}/" if part else ""
        self.folder = root / part
        masks = self.folder / MASK_FOLDER
        has_masks = masks.is_dir() and _same_names(masks, self.folder)
        self.images = list_images(self.folder, without=(MASK_FOLDER,) if has_masks else ())
        self.masks = {image_id(name): masks / name for name in list_images(masks).files.values()} if has_masks else {}

    @property
    def class_names(self) -> set[str]:
        """The folders that have images in them."""
        return {name.partition("/")[0] for name in self.images.files if "/" in name}

    def record(self, relative: str, index: Mapping[str, int]) -> Record:
        class_name, slash, _ = relative.partition("/")
        if not slash:
            raise BadEntry("lies outside the class folders: move it into the folder of its class, or remove it")
        if relative in self.images.empty:
            raise BadEntry("is empty: replace it, or remove it")
        classes = class_indices((class_name,), index)
        mask = self.masks.get(image_id(relative))
        return Record(image_id(self.prefix + relative), self.folder / relative, classes, mask)


def _same_names(masks: Path, folder: Path) -> bool:
    """Whether ``masks`` repeats the class folders beside it; if not, it may well be a class of face masks."""
    inner = {path.name for path in masks.iterdir() if path.is_dir()}
    return bool(inner) and inner <= {path.name for path in folder.iterdir() if path.is_dir()}
