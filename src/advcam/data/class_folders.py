"""One folder for each class, with its images in it: the layout of torchvision's ImageFolder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from advcam.data.classes import ClassList, class_indices, is_background, known_classes
from advcam.data.folder import IMAGE_FOLDER, MASK_FOLDER
from advcam.data.ids import BadEntry, image_id
from advcam.data.listing import Listing, list_images
from advcam.data.mask_files import mask_folder
from advcam.data.reader import chosen_split, collect, ordered
from advcam.data.record import ImageSet, Problem, Record
from advcam.errors import DataError


@dataclass(frozen=True)
class ClassFolders:
    """Images in a folder that is called like their class, under ``root``, or under a sub-folder for each split.

    ``parts`` gives the folder of each split relative to the root, or a single one, the root itself, under None. The
    classes are ``classes``, or those of ``classes.txt``, or the names of the folders in all splits in alphabetical
    order. A folder ``background`` holds images without any class. A folder ``masks`` beside the class folders, with
    folders of the same names in it, holds ground truth. ``unused`` are other folders that lie there.
    """

    root: Path
    parts: Mapping[str | None, str]
    classes: ClassList | None = None
    unused: tuple[str, ...] = ()

    format = "one folder for each class"
    one_split_at_a_time = False

    def splits(self) -> tuple[str, ...]:
        return tuple(sorted(name for name in self.parts if name is not None))

    def read(self, split: str | None) -> ImageSet:
        split = chosen_split(self.root, split, self.splits(), needed=self.one_split_at_a_time)
        parts = {name: _Part(self.root, part) for name, part in self.parts.items()}
        names = known_classes(self.classes, self.root)
        there = {name for part in parts.values() for name in part.class_names}
        if names is None:
            names = ordered(name for name in there if not is_background(name))
        if len({*names, *there}) < 2 or not names or set(names) <= {IMAGE_FOLDER, MASK_FOLDER}:
            raise DataError(
                f"there are no labels, only {' and '.join(names)}: put the images of each class into a "
                "folder of its own, or add a table labels.csv with the columns image and labels",
                self.root,
            )
        index = {name: number for number, name in enumerate(names)}
        records: list[Record] = []
        problems: list[Problem] = []
        notices = [
            Problem(str(self.root / name), "not used: the folder is no class of any split") for name in self.unused
        ]
        for name, part in parts.items():
            if name is None or split in (None, name):
                problems += (*part.images.problems, *part.masks.problems)
                notices += part.masks.notices
                for folder in part.images.passed_over:
                    notices.append(Problem(str(part.folder / folder), "not used: the folder holds results of advcam"))
                for relative in part.images.files.values():
                    try:
                        records.append(part.record(relative, index))
                    except BadEntry as error:
                        problems.append(Problem(str(part.folder / relative), f"the image {error}"))
        return collect(self, self.root, split, names, records, problems, notices)


class _Part:
    """The images and masks of one split."""

    def __init__(self, root: Path, part: str) -> None:
        self.prefix = f"{part}/" if part else ""
        self.folder = root / part
        masks = self.folder / MASK_FOLDER
        has_masks = masks.is_dir() and _same_names(masks, self.folder)
        self.images = list_images(self.folder, without=(MASK_FOLDER,) if has_masks else ())
        if masks.is_dir() and not has_masks:
            _refuse_flat(masks, self.images)
        self.masks = mask_folder(masks if has_masks else None, self.images.ids)

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
        mask = self.masks.of(image_id(relative))
        return Record(image_id(self.prefix + relative), self.folder / relative, classes, mask)


def _same_names(masks: Path, folder: Path) -> bool:
    """Whether ``masks`` repeats the class folders beside it; if not, it may well be a class of face masks."""
    inner = {path.name for path in masks.iterdir() if path.is_dir()}
    return bool(inner) and inner <= {path.name for path in folder.iterdir() if path.is_dir()}


def _refuse_flat(masks: Path, images: Listing) -> None:
    """Raise DataError where the folder is no class but the masks of the images of the others, all in one place."""
    inside = {name.rpartition("/")[2] for name in images.ids if name.startswith(f"{MASK_FOLDER}/")}
    outside = {
        name.rpartition("/")[2] for name in images.ids if not name.startswith((f"{MASK_FOLDER}/", f"{IMAGE_FOLDER}/"))
    }
    if inside & outside:
        raise DataError(
            "the folder holds pictures named like images of the classes, but repeats none of their folders: put the "
            "mask of cat/a.jpg into masks/cat/a.png, or name the folder otherwise if it is a class",
            masks,
        )
