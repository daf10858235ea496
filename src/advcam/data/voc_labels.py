"""Where the image-level labels of a data set in the VOC layout come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from advcam.data.classes import CLASS_FILE, VOC_CLASSES, is_background
from advcam.data.ids import BadEntry, image_id
from advcam.data.labels import split_labels
from advcam.data.pickled import load_arrays
from advcam.data.reader import ordered
from advcam.data.record import Problem
from advcam.data.table import Table, read_table
from advcam.data.voc_xml import read_annotation
from advcam.errors import DataError, shortened

TABLE = "image_labels.csv"
ARRAY = "cls_labels.npy"
ANNOTATIONS = "Annotations"
IMAGES = "JPEGImages"
MASKS = "SegmentationClass"


@runtime_checkable
class Labels(Protocol):
    """The classes of a data set and of its images."""

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def notices(self) -> tuple[Problem, ...]: ...

    def of(self, image: str) -> tuple[str, ...] | None:
        """The class names of the image with this id; None where nothing is known of it.

        Raises:
            BadEntry: its labels cannot be used.
        """


@dataclass(frozen=True)
class LabelDict:
    """Labels from a table or from an array for each image, by id."""

    class_names: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...] | None]
    faults: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[Problem, ...] = ()

    def of(self, image: str) -> tuple[str, ...] | None:
        if image in self.faults:
            raise BadEntry(self.faults[image])
        return self.labels.get(image)


@dataclass(frozen=True)
class AnnotationLabels:
    """Labels from the annotation files: every object counts, also a difficult one, and parts that are classes."""

    class_names: tuple[str, ...]
    folder: Path
    notices: tuple[Problem, ...] = ()

    def of(self, image: str) -> tuple[str, ...] | None:
        annotation = read_annotation(self.folder / f"{image}.xml")
        if annotation is None:
            return None
        return (*annotation.names, *(part for part in annotation.parts if part in self.class_names))


def find_labels(root: Path, labels: Path | None, known: tuple[str, ...] | None) -> Labels:
    """The labels in ``labels``, or else the first there is of image_labels.csv, cls_labels.npy and Annotations.

    The classes are the ``known`` ones, or else the columns of a table that has one for each, or else the twenty of VOC
    if there are masks or if nothing else is named, or else the names in alphabetical order.

    Raises:
        DataError: there are no labels, or they cannot be read.
    """
    # The values of masks have an order, and without a list of classes it can only be VOC's.
    assumed = VOC_CLASSES if (root / MASKS).is_dir() else None
    source = labels or next((path for name in (TABLE, ARRAY) if (path := root / name).is_file()), None)
    if source is None:
        if not (root / ANNOTATIONS).is_dir():
            raise DataError(
                f"there are no labels: add {TABLE} with the columns image and labels, {ARRAY} or {ANNOTATIONS}", root
            )
        return AnnotationLabels(known or assumed or _class_names(_annotated(root)), root / ANNOTATIONS)
    if source.suffix == ".npy":
        return _from_array(source, known or assumed)
    table = read_table(source, known)
    return _from_table(table, known or table.classes or assumed)


def _from_table(table: Table, known: tuple[str, ...] | None) -> LabelDict:
    cells = [row.labels for row in table.rows]
    if known is None:
        words = {word for cell in cells if isinstance(cell, str) for word in re.split(r"[;|,\s]+", cell) if word}
        known = VOC_CLASSES if words <= set(VOC_CLASSES) else None
    names = split_labels(table.path, cells, known)
    labels: dict[str, tuple[str, ...] | None] = {}
    faults: dict[str, str] = {}
    for row, found in zip(table.rows, names, strict=True):
        image = image_id(row.image.replace("\\", "/").removeprefix("./").removeprefix("/").removeprefix(f"{IMAGES}/"))
        before = labels.get(image)
        labels[image] = found if before is None else (*before, *(found or ()))
        if row.fault is not None:
            faults[image] = f"names an image whose line {row.line} of {table.path.name} {row.fault}"
    named = {name for found in names for name in found or ()}
    unused = f"not used: the columns {shortened(table.unused, 8)}"
    notices = (Problem(str(table.path), unused),) if table.unused else ()
    return LabelDict(known or _class_names(n for n in named if not is_background(n)), labels, faults, notices)


def _from_array(path: Path, known: tuple[str, ...] | None) -> LabelDict:
    vectors = load_arrays(path)
    if not isinstance(vectors, dict) or not vectors:
        raise DataError("there must be a dict from image ids to vectors of 0 and 1: write the labels as a CSV", path)
    shapes = {np.shape(vector) for vector in vectors.values()}
    length = next(iter(shapes))
    known = known or (VOC_CLASSES if length == (len(VOC_CLASSES),) else None)
    if len(shapes) > 1 or known is None or length != (len(known),):
        expected = "of unknown classes" if known is None else f"for {len(known)} classes"
        raise DataError(
            f"its vectors have the shapes {sorted(shapes)} {expected}: list them in {CLASS_FILE}, one a line", path
        )
    labels: dict[str, tuple[str, ...] | None] = {}
    faults: dict[str, str] = {}
    for key, vector in vectors.items():
        values = np.asarray(vector)
        if not np.isin(values, (0, 1)).all():
            faults[_array_id(key)] = f"names an image whose labels in {path.name} are not only 0 and 1: correct them"
        labels[_array_id(key)] = tuple(known[number] for number in np.flatnonzero(values == 1))
    return LabelDict(known, labels, faults)


def _array_id(key: object) -> str:
    """IRN's programs write 2007_000032 as the number 2007000032."""
    if isinstance(key, int | np.integer):
        year, number = divmod(int(key), 1_000_000)
        return f"{year}_{number:06d}"
    return str(key)


def _annotated(root: Path) -> Iterable[str]:
    for path in sorted((root / ANNOTATIONS).rglob("*.xml")):
        try:
            annotation = read_annotation(path)
        except BadEntry:
            # Reported when an image of the split asks for it.
            continue
        yield from annotation.names if annotation else ()


def _class_names(names: Iterable[str]) -> tuple[str, ...]:
    found = ordered(names)
    return VOC_CLASSES if set(found) <= set(VOC_CLASSES) else found
