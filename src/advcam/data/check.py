"""Everything that is wrong with a data set, found at once; and an image set without what cannot be read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from advcam.data.classes import ClassList
from advcam.data.ids import composed
from advcam.data.images import read_image
from advcam.data.masks import IGNORE, read_mask, values_of
from advcam.data.open import recognise, surely_wrong
from advcam.data.reader import KnownDataset
from advcam.data.record import ImageSet, Problem, Record, as_problem
from advcam.errors import DataError, shortened

# Called with how many images are done, and how many there are.
Progress = Callable[[int, int], None]

# Waiting work is kept short, so that memory does not grow with the data set.
_BATCH = 256
# Of it, what a thread takes at a time.
_PART = 8
# A picture whose brightest value is below this is all but black.
_DARK = 20
# Names that often stand for images without any class.
_NO_CLASS = frozenset(
    ("bg", "good", "negative", "no", "none", "normal", "nothing", "ok", "unlabeled", "unlabelled", "void")
)
# Of a class with fewer images hardly anything can be learnt.
FEW_IMAGES = 5


@dataclass(frozen=True)
class SplitSummary:
    """What a split holds. ``counts`` are images by class, ``mask_values`` masks by the values in them."""

    split: str | None
    format: str
    class_names: tuple[str, ...]
    images: int
    without_class: int
    counts: Mapping[int, int]
    masks: int
    mask_values: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Examination:
    """What was found: ``problems``, which a run stops at; ``notices``: what is not used, or looks odd; the splits."""

    problems: tuple[Problem, ...]
    notices: tuple[Problem, ...] = ()
    splits: tuple[SplitSummary, ...] = ()


def check_dataset(
    path: str | Path,
    split: str | None = None,
    *,
    labels: str | Path | None = None,
    classes: ClassList | None = None,
    on_progress: Progress | None = None,
) -> list[Problem]:
    """All problems of a data set, or of one split: those of ``examine_dataset``.

    >>> check_dataset("nowhere")[0].message
    'there is no such file or folder: correct the path'
    """
    return list(examine_dataset(path, split, labels=labels, classes=classes, on_progress=on_progress).problems)


def examine_dataset(
    path: str | Path,
    split: str | None = None,
    *,
    labels: str | Path | None = None,
    classes: ClassList | None = None,
    on_progress: Progress | None = None,
) -> Examination:
    """Look at all of a data set, or at one split: at its lists and labels, and into every image and mask.

    Besides what ``open_dataset`` and ``leave_out_unreadable`` refuse, it tells of masks that show a class which the
    labels do not name, of boxes outside their image, of masks that hold nothing but 0 and 255, of class names that
    differ only in case, of what lies there and is not used, and of lists of classes that look odd. Nothing that it
    finds raises.
    """
    try:
        reader = recognise(path, labels=labels, classes=classes)
        chosen = (split,) if split is not None or not reader.one_split_at_a_time else reader.splits() or (None,)
    except DataError as error:
        return Examination((as_problem(error),))
    problems: list[Problem] = []
    notices: list[Problem] = []
    if isinstance(reader, KnownDataset):
        try:
            problems += reader.integrity()
        except DataError as error:
            problems.append(as_problem(error))
    found: list[SplitSummary] = []
    seen: set[Path] = set()
    counts: Counter[int] = Counter()
    dark, values_in_all = 0, set[int]()
    for name in chosen:
        try:
            image_set = reader.read(name)
        except DataError as error:
            problems.append(as_problem(error))
            continue
        problems += image_set.left_out
        notices += image_set.notices
        if not image_set.records:
            where = "" if name is None else f" in the split {name!r}"
            problems.append(Problem(str(path), f"there is no image that can be used{where}: add images and labels"))
        records = [record for record in image_set.records if record.image not in seen]
        values: Counter[int] = Counter()
        for record, finding in zip(records, _find(records, image_set.class_names, on_progress), strict=True):
            seen.add(record.image)
            counts.update(record.classes)
            values.update(finding.mask_values or ())
            problems += finding.problems
            dark += finding.dark
        values_in_all |= values.keys()
        found.append(_summary(image_set, values))
    class_names = found[-1].class_names if found else ()
    problems += similar_names(str(path), class_names)
    if wrong := surely_wrong(path, class_names):
        problems.append(wrong)
    if values_in_all and values_in_all <= {0, IGNORE}:
        message = (
            f"no mask holds anything but 0 and {IGNORE}, which means ignore: write the number of the class (1, 2, ...)"
        )
        problems.append(Problem(str(path), message))
    if seen:
        notices += odd_classes(str(path), class_names, counts, len(seen))
    if 0 < dark == len(seen):
        message = (
            "every picture is all but black: 12-bit values in 16-bit files stay so, since 16 bits are divided by 257; "
            "multiply them by 16"
        )
        notices.append(Problem(str(path), message))
    return Examination(tuple(dict.fromkeys(problems)), tuple(dict.fromkeys(notices)), tuple(found))


def _summary(image_set: ImageSet, mask_values: Mapping[int, int]) -> SplitSummary:
    return SplitSummary(
        split=image_set.split,
        format=image_set.format,
        class_names=image_set.class_names,
        images=len(image_set),
        without_class=sum(not record.classes for record in image_set.records),
        counts=Counter(index for record in image_set.records for index in record.classes),
        masks=sum(record.mask is not None for record in image_set.records),
        mask_values=mask_values,
    )


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


@dataclass(frozen=True)
class _Finding:
    """What one image and its mask are like."""

    problems: tuple[Problem, ...]
    readable: bool
    mask_values: frozenset[int] | None = None
    dark: bool = False


def _find(records: Sequence[Record], class_names: Sequence[str], on_progress: Progress | None) -> Iterator[_Finding]:
    """A finding for each record, in their order. Decoding is done by Pillow outside Python's lock, so threads help."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(records), _BATCH):
            batch = records[start : start + _BATCH]
            parts = [batch[first : first + _PART] for first in range(0, len(batch), _PART)]
            found = pool.map(lambda part: [_look(record, class_names) for record in part], parts)
            for offset, finding in enumerate(chain.from_iterable(found), 1):
                if on_progress is not None:
                    on_progress(start + offset, len(records))
                yield finding


def _look(record: Record, class_names: Sequence[str]) -> _Finding:
    try:
        image = read_image(record.image)
        size, dark = image.shape[:2], int(image.max()) < _DARK
        mask = None if record.mask is None else read_mask(record, size, len(class_names))
    except DataError as error:
        return _Finding((as_problem(error),), readable=False)
    problems = _box_problems(record, size)
    if mask is None:
        return _Finding(tuple(problems), readable=True, dark=dark)
    values = frozenset(values_of(mask))
    shown = [class_names[value - 1] for value in sorted(values - {0, IGNORE}) if value - 1 not in record.classes]
    if shown:
        message = f"its mask shows {', '.join(shown)}, which its labels do not name: correct one of them"
        problems.append(Problem(str(record.image), message))
    return _Finding(tuple(problems), readable=True, mask_values=values, dark=dark)


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


def similar_names(file: str, class_names: Sequence[str]) -> list[Problem]:
    """Classes whose names differ only in case, blanks or how accents are stored: surely one class written twice."""
    first: dict[str, str] = {}
    problems = []
    for name in class_names:
        other = first.setdefault(" ".join(composed(name).lower().split()), name)
        if other != name:
            how = ascii if composed(other) == composed(name) else repr
            message = f"the classes {how(other)} and {how(name)} differ only in case, blanks or how accents are stored"
            message += ": write both alike"
            problems.append(Problem(file, message))
    return problems


def odd_classes(file: str, class_names: Sequence[str], counts: Mapping[int, int], images: int) -> list[Problem]:
    """What is odd about the classes of so many images.

    >>> [str(problem) for problem in odd_classes("d", ("1", "2"), {0: 9, 1: 2}, 9)]  # doctest: +NORMALIZE_WHITESPACE
    ['d: every image shows 1: nothing can be learnt of it without images that lack it',
     'd: 1 of 2 classes have fewer than 5 images (2)',
     'd: the classes are numbers only: list their names in classes.txt, if these are not their names']
    """
    found = []
    always = [name for index, name in enumerate(class_names) if counts.get(index, 0) == images]
    few = [name for index, name in enumerate(class_names) if counts.get(index, 0) < FEW_IMAGES]
    if len(class_names) == 1 and always:
        found.append(
            f"{always[0]} is the only class and every image shows it: nothing can be learnt of it without images that "
            "lack it, labelled background"
        )
    elif always:
        them = "it" if len(always) == 1 else "them"
        found.append(
            f"every image shows {shortened(always)}: nothing can be learnt of {them} without images that lack {them}"
        )
    if few:
        found.append(f"{len(few)} of {len(class_names)} classes have fewer than {FEW_IMAGES} images ({shortened(few)})")
    if nothing := [name for name in class_names if name.strip("_ ").lower() in _NO_CLASS]:
        found.append(f"{shortened(nothing)} may stand for none of the classes: label such images background, if so")
    if all(name.isdecimal() for name in class_names):
        found.append("the classes are numbers only: list their names in classes.txt, if these are not their names")
    return [Problem(file, message) for message in found]
