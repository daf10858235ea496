"""A folder of images with a label table: CSV, TSV or JSON lines, also Hugging Face's ``metadata.csv``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from advcam.data.classes import ClassList, class_indices, is_background, known_classes
from advcam.data.ids import BadEntry, existing, image_id, spellings
from advcam.data.labels import split_labels
from advcam.data.listing import list_images
from advcam.data.mask_files import mask_folder
from advcam.data.reader import chosen_split, collect, ordered
from advcam.data.record import ImageSet, Problem, Record
from advcam.data.table import Row, Table, read_table
from advcam.errors import DataError, shortened

MASK_FOLDER = "masks"
IMAGE_FOLDER = "images"
# So many images without a row are named one by one; more are counted.
_NAMED_ONE_BY_ONE = 20


@dataclass(frozen=True)
class TableFolder:
    """Images under ``root`` and what a table says of them; or one table in a sub-folder for each split.

    ``tables`` gives the table of each split, or a single one under None, which may have a column ``split``. A row
    names an image relative to the table's folder (the root for a single table), with or without extension, and its
    classes (see ``split_labels``). Rows that name the same image add up.

    The classes are ``classes``, or those of ``classes.txt`` in the root, or the columns of a table that has one
    column for each, or the names in all tables in alphabetical order. Ground truth is the file that the column
    ``mask`` names, or ``masks/<name of the image>.png`` beside the table, for images where it is there.

    An image that no row names is a problem: one that was forgotten cannot be told from one that was left out on
    purpose, so ``skip_bad`` has to say so.
    """

    root: Path
    tables: Mapping[str | None, Path]
    classes: ClassList | None = None

    format = "folder with a label table"
    one_split_at_a_time = False

    def splits(self) -> tuple[str, ...]:
        return _splits(self._read_tables(known_classes(self.classes, self.root)))

    def read(self, split: str | None) -> ImageSet:
        given = known_classes(self.classes, self.root)
        tables = self._read_tables(given)
        split = chosen_split(self.root, split, _splits(tables), needed=self.one_split_at_a_time)
        first = next(iter(tables.values()))
        known = given or first.classes
        # All tables at once, since how one is to be understood may be seen in another only.
        labels = split_labels(first.path, [row.labels for table in tables.values() for row in table.rows], known)
        named = {name for found in labels for name in found or ()}
        names = known or ordered(name for name in named if not is_background(name))
        if not names:
            raise DataError("no row names a class: fill in the labels", first.path)
        index = {name: number for number, name in enumerate(names)}
        records: list[Record] = []
        problems: list[Problem] = []
        notices: list[Problem] = []
        of_rows = iter(labels)
        for name, table in tables.items():
            of_table = list(islice(of_rows, len(table.rows)))
            if name is None or split in (None, name):
                reading = _Reading(self.root, name or "", table, index)
                reading.read(of_table, split if name is None else None)
                records += reading.records.values()
                problems += reading.problems
                notices += reading.notices
        return collect(self, self.root, split, names, records, problems, notices)

    def _read_tables(self, known: Sequence[str] | None) -> dict[str | None, Table]:
        return {name: read_table(path, known) for name, path in self.tables.items()}


class _Reading:
    """The records of one table and of the images in its folder."""

    def __init__(self, root: Path, prefix: str, table: Table, index: Mapping[str, int]) -> None:
        self.root, self.folder, self.prefix, self.table, self.index = root, root / prefix, prefix, table, index
        self.images = list_images(self.folder, without=(MASK_FOLDER,))
        ids = {*self.images.ids, *(name.removeprefix(IMAGE_FOLDER + "/") for name in self.images.ids)}
        self.masks = mask_folder(self.folder / MASK_FOLDER, ids)
        self.first_rows: dict[str, Row] = {}
        self.records: dict[str, Record] = {}
        self.problems = [*self.images.problems, *self.masks.problems]
        self.notices = list(self.masks.notices)
        if table.unused:
            columns = f"not used: the columns {shortened(table.unused, 8)}"
            self.notices.append(Problem(str(table.path), columns))
        for name in self.images.passed_over:
            self.notices.append(Problem(str(self.folder / name), "not used: the folder holds results of advcam"))

    def read(self, labels: Sequence[tuple[str, ...] | None], split: str | None) -> None:
        """All rows are looked at, those of ``split`` are kept."""
        for row, names in zip(self.table.rows, labels, strict=True):
            try:
                self._read_row(row, names, kept=split is None or row.split == split)
            except BadEntry as error:
                if split is None or row.split == split:
                    self.problems.append(Problem(str(self.table.path), f"line {row.line} {error}"))
        masks = {spelling for row in self.table.rows if row.mask for spelling in self._spellings(row.mask)}
        unnamed = [name for name in self.images.files.values() if name not in self.first_rows and name not in masks]
        table = self.table.path.name
        for name in unnamed[:_NAMED_ONE_BY_ONE]:
            message = f"{table} has no row for the image: add one, or remove the image"
            self.problems.append(Problem(str(self.folder / name), message))
        if (more := len(unnamed) - _NAMED_ONE_BY_ONE) > 0:
            message = f"{more} more images have no row in {table}: add them, or remove the images"
            self.problems.append(Problem(str(self.folder), message))

    def _read_row(self, row: Row, names: tuple[str, ...] | None, kept: bool) -> None:
        relative = self.images.find(row.image)
        first = self.first_rows.setdefault(relative, row)
        if relative in self.images.empty:
            raise BadEntry(f"names {row.image!r}, but the file is empty: replace it, or remove the line")
        if row.fault is not None:
            raise BadEntry(row.fault)
        if first.split != row.split or first.mask != row.mask:
            raise BadEntry(
                f"gives {row.image!r} another split or mask than line {first.line}: an image can have only one"
            )
        if names is None:
            raise BadEntry(
                f"gives {row.image!r} no label: name its classes, write 'background' if it shows none of them, or "
                "remove the line"
            )
        classes = class_indices(names, self.index)
        if not kept:
            return
        if (record := self.records.get(relative)) is not None:
            both = tuple(sorted({*record.classes, *classes}))
            self.records[relative] = replace(record, classes=both)
            return
        name = image_id(relative)
        own = image_id(f"{self.prefix}/{relative}") if self.prefix else name
        self.records[relative] = Record(own, self.folder / relative, classes, self._mask(row, name))

    def _mask(self, row: Row, name: str) -> Path | None:
        if row.mask:
            return self.folder / existing(self.folder, row.mask, "mask")
        return self.masks.of(name, name.removeprefix(IMAGE_FOLDER + "/"))

    @staticmethod
    def _spellings(mask: str) -> tuple[str, ...]:
        try:
            return spellings(mask)
        except BadEntry:
            # Reported with its line.
            return ()


def _splits(tables: Mapping[str | None, Table]) -> tuple[str, ...]:
    if None in tables:
        return tuple(sorted({row.split for row in tables[None].rows if row.split}))
    return tuple(sorted(name for name in tables if name is not None))
