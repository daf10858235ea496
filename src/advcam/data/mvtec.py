"""The layout of MVTec AD: parts without a fault, parts with one, and a mask of each fault."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from advcam.data.classes import ClassList, class_indices, known_classes
from advcam.data.ids import BadEntry, image_id
from advcam.data.listing import data_folders, list_images
from advcam.data.reader import chosen_split, collect, ordered
from advcam.data.record import ImageSet, MaskFiles, Problem, Record
from advcam.errors import DataError, shortened

GOOD, TRAIN, TEST, TRUTH = "good", "train", "test", "ground_truth"
_MASK = "_mask"


def is_mvtec(path: Path) -> bool:
    """Whether this is the folder of one kind of object: ``train/good`` beside ``test``."""
    return (path / TRAIN / GOOD).is_dir() and (path / TEST).is_dir()


@dataclass(frozen=True)
class MVTec:
    """``train/good``, ``test/good``, ``test/<defect>`` and ``ground_truth/<defect>/<name>_mask.png``.

    The classes are the defects; a good part is an image without any class, and its mask is all background. All images
    are one set without splits: in ``train`` no image shows a defect, so nothing could be learnt from it alone.
    """

    root: Path
    classes: ClassList | None = None

    format = "MVTec layout"
    one_split_at_a_time = False

    def splits(self) -> tuple[str, ...]:
        return ()

    def read(self, split: str | None) -> ImageSet:
        split = chosen_split(self.root, split, self.splits(), needed=False)
        defects = [path.name for path in data_folders(self.root / TEST) if path.name != GOOD]
        names = known_classes(self.classes, self.root) or ordered(defects)
        if not names:
            raise DataError("there is no folder of a defect in it: add test/<defect> with pictures", self.root)
        index = {name: number for number, name in enumerate(names)}
        records: list[Record] = []
        problems: list[Problem] = []
        used: set[Path] = set()
        for folder in (f"{TRAIN}/{GOOD}", *(f"{TEST}/{name}" for name in (GOOD, *defects))):
            images = list_images(self.root / folder)
            problems += images.problems
            for relative in images.files.values():
                path = self.root / folder / relative
                try:
                    if relative in images.empty:
                        raise BadEntry("is empty: replace it, or remove it")
                    defect = folder.partition("/")[2]
                    classes = () if defect == GOOD else class_indices((defect,), index)
                    mask = MaskFiles(()) if defect == GOOD else self._mask(defect, relative)
                    used.update(mask.objects if mask is not None else ())
                    records.append(Record(image_id(f"{folder}/{relative}"), path, classes, mask))
                except BadEntry as error:
                    problems.append(Problem(str(path), f"the image {error}"))
        return collect(self, self.root, split, names, records, problems, self._unused(used))

    def _mask(self, defect: str, relative: str) -> MaskFiles | None:
        folder = self.root / TRUTH / defect
        if not folder.is_dir():
            return None
        for name in (f"{image_id(relative)}{_MASK}.png", f"{image_id(relative)}.png"):
            if (folder / name).is_file():
                return MaskFiles((folder / name,))
        raise BadEntry(f"has no mask {image_id(relative)}{_MASK}.png in {folder}: add it, or remove the image")

    def _unused(self, used: set[Path]) -> list[Problem]:
        truth = self.root / TRUTH
        every = list_images(truth).files.values() if truth.is_dir() else ()
        lost = [name for name in every if truth / name not in used]
        notices = (
            [Problem(str(truth), f"not used: {len(lost)} masks belong to no image ({shortened(lost)})")] if lost else []
        )
        for path in data_folders(self.root / TRAIN):
            if path.name != GOOD:
                notices.append(Problem(str(path), f"not used: only {TRAIN}/{GOOD} is read of {TRAIN}"))
        return notices
