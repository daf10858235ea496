"""Everything that is wrong with a data set, found at once; and an image set without what cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from advcam.data.classes import ClassList
from advcam.data.images import read_image
from advcam.data.masks import IGNORE, read_mask
from advcam.data.open import recognise
from advcam.data.reader import Distributed
from advcam.data.record import ImageSet, Problem, Record
from advcam.errors import DataError

# Called with how many images are done, and how many there are.
Progress = Callable[[int, int], None]

# Waiting work is kept short, so that memory does not grow with the data set.
_BATCH = 256


def check_dataset(
    path: str | Path,
    split: str | None = None,
    *,
    labels: str | Path | None = None,
    classes: ClassList | None = None,
    on_progress: Progress | None = None,
) -> list[Problem]:
    """All problems of a data set, or of one split: in its lists and labels, and in every image and mask.

    Besides what ``open_dataset`` and ``leave_out_unreadable`` refuse, it tells of masks that show a class which the
    labels do not name, of boxes outside their image, of masks that hold nothing but 0 and 255, and of class names
    that differ only in case. Nothing that it finds raises; an empty list means that all is well.

    >>> check_dataset("nowhere")[0].message
    'there is no such file or folder: correct the path'
    """
    try:
        reader = recognise(path, labels=labels, classes=classes)
        chosen = (split,) if split is not None or not reader.one_split_at_a_time else reader.splits() or (None,)
    except DataError as error:
        return [as_problem(error)]
    problems: list[Problem] = []
    if isinstance(reader, Distributed):
        try:
            problems += reader.integrity()
        except DataError as error:
            problems.append(as_problem(error))
    records: dict[Path, Record] = {}
    class_names: tuple[str, ...] = ()
    for name in chosen:
        try:
            image_set = reader.read(name)
        except DataError as error:
            problems.append(as_problem(error))
            continue
        problems += image_set.left_out
        records.update((record.image, record) for record in image_set.records)
        class_names = image_set.class_names
        if not image_set.records:
            where = "" if name is None else f" in the split {name!r}"
            problems.append(Problem(str(path), f"there is no image that can be used{where}: add images and labels"))
    problems += _similar_names(str(path), class_names)
    findings = list(_find(list(records.values()), class_names, on_progress))
    for finding in findings:
        problems += finding.problems
    values = [finding.mask_values for finding in findings if finding.mask_values is not None]
    if values and all(found <= {0, IGNORE} for found in values):
        message = (
            f"no mask holds anything but 0 and {IGNORE}, which means ignore: write the number of the class (1, 2, ...)"
        )
        problems.append(Problem(str(path), message))
    return list(dict.fromkeys(problems))


def leave_out_unreadable(image_set: ImageSet, on_progress: Progress | None = None) -> ImageSet:
    """The set without the images that cannot be read whole, or whose mask cannot; ``left_out`` names them too.

    It decodes every image and mask once: some 150 photographs a second and core.
    """
    kept, left_out = [], list(image_set.left_out)
    findings = _find(image_set.records, image_set.class_names, on_progress)
    for record, finding in zip(image_set.records, findings, strict=True):
        if finding.readable:
            kept.append(record)
        else:
            left_out += finding.problems
    return replace(image_set, records=tuple(kept), left_out=tuple(left_out))


def as_problem(error: DataError) -> Problem:
    """An error's sentence, which begins with the file, as a problem."""
    file, _, message = str(error).partition(": ")
    return Problem(file, message)


@dataclass(frozen=True)
class _Finding:
    """What one image and its mask are like."""

    problems: tuple[Problem, ...]
    readable: bool
    mask_values: frozenset[int] | None = None


def _find(records: Sequence[Record], class_names: Sequence[str], on_progress: Progress | None) -> Iterator[_Finding]:
    """A finding for each record, in their order. Decoding is done by Pillow outside Python's lock, so threads help."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(records), _BATCH):
            batch = records[start : start + _BATCH]
            for offset, finding in enumerate(pool.map(lambda record: _look(record, class_names), batch), 1):
                if on_progress is not None:
                    on_progress(start + offset, len(records))
                yield finding


def _look(record: Record, class_names: Sequence[str]) -> _Finding:
    try:
        size = read_image(record.image).shape[:2]
        mask = None if record.mask is None else read_mask(record, size, len(class_names))
    except DataError as error:
        return _Finding((as_problem(error),), readable=False)
    problems = _box_problems(record, size)
    if mask is None:
        return _Finding(tuple(problems), readable=True)
    values = frozenset(int(value) for value in np.flatnonzero(np.bincount(mask.ravel(), minlength=256)))
    shown = [class_names[value - 1] for value in sorted(values - {0, IGNORE}) if value - 1 not in record.classes]
    if shown:
        message = f"its mask shows {', '.join(shown)}, which its labels do not name: correct one of them"
        problems.append(Problem(str(record.image), message))
    return _Finding(tuple(problems), readable=True, mask_values=values)


def _box_problems(record: Record, size: tuple[int, int]) -> list[Problem]:
    height, width = size
    problems = []
    for box in record.boxes or ():
        # One pixel more, since some formats count from 1 and some name the last pixel.
        if not (-1 <= box.x0 <= box.x1 <= width + 1 and -1 <= box.y0 <= box.y1 <= height + 1):
            corners = f"{box.x0:g}, {box.y0:g}, {box.x1:g}, {box.y1:g}"
            message = f"its box ({corners}) is not inside its {width} x {height} pixels: correct the box"
            problems.append(Problem(str(record.image), message))
    return problems


def _similar_names(file: str, class_names: Sequence[str]) -> list[Problem]:
    first: dict[str, str] = {}
    problems = []
    for name in class_names:
        other = first.setdefault(" ".join(name.lower().split()), name)
        if other != name:
            message = f"the classes {other!r} and {name!r} differ only in case or blanks: write both alike"
            problems.append(Problem(file, message))
    return problems
