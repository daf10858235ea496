"""A folder of images with a label table: CSV, TSV or JSON lines, also Hugging Face's ``metadata.csv``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath

from advcam.data.classes import ClassList, class_indices, known_classes
from advcam.data.ids import BadEntry, image_id, inside
from advcam.data.labels import split_labels
from advcam.data.listing import list_images
from advcam.data.reader import chosen_split, collect, ordered
from advcam.data.record import ImageSet, Problem, Record
from advcam.data.table import Row, Table, read_table
from advcam.errors import DataError

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
    purpose, so ``skip_bad`` (``--skip-bad``) has to say so.
    """

    root: Path
    tables: Mapping[str | None, Path]
    classes: ClassList | None = None

    format = "folder with a label table"
    one_split_at_a_time = False

    def splits(self) -> tuple[str, ...]:
        return _splits(self._read_tables())

    def read(self, split: str | None) -> ImageSet:
        tables = self._read_tables()
        split = chosen_split(self.root, split, _splits(tables), needed=self.one_split_at_a_time)
        first = next(iter(tables.values()))
        known = known_classes(self.classes, self.root) or first.classes
        # All tables at once, since how one is to be understood may be seen in another only.
        labels = split_labels(first.path, [row.labels for table in tables.values() for row in table.rows], known)
        names = known or ordered(name for found in labels for name in found or ())
        if not names:
            raise DataError(f"{first.path}: no row names a class: fill in the labels")
        index = {name: number for number, name in enumerate(names)}
        records: list[Record] = []
        problems: list[Problem] = []
        of_rows = iter(labels)
        for name, table in tables.items():
            of_table = list(islice(of_rows, len(table.rows)))
            if name is None or split in (None, name):
                reading = _Reading(self.root, name or "", table, index)
                reading.read(of_table, split if name is None else None)
                records += reading.records.values()
                problems += reading.problems
        return collect(self, self.root, split, names, records, problems)

    def _read_tables(self) -> dict[str | None, Table]:
        return {name: read_table(path) for name, path in self.tables.items()}


class _Reading:
    """The records of one table and of the images in its folder."""

    def __init__(self, root: Path, prefix: str, table: Table, index: Mapping[str, int]) -> None:
        self.root, self.folder, self.prefix, self.table, self.index = root, root / prefix, prefix, table, index
        self.images = list_images(self.folder, without=(MASK_FOLDER,))
        masks = self.folder / MASK_FOLDER
        self.masks = {image_id(name): name for name in list_images(masks).files.values()} if masks.is_dir() else {}
        self.first_rows: dict[str, Row] = {}
        self.records: dict[str, Record] = {}
        self.problems = list(self.images.problems)

    def read(self, labels: Sequence[tuple[str, ...] | None], split: str | None) -> None:
        """All rows are looked at, those of ``split`` are kept."""
        for row, names in zip(self.table.rows, labels, strict=True):
            try:
                self._read_row(row, names, kept=split is None or row.split == split)
            except BadEntry as error:
                if split is None or row.split == split:
                    self.problems.append(Problem(str(self.table.path), f"line {row.line} {error}"))
        masks = {str(PurePosixPath(row.mask)) for row in self.table.rows if row.mask}
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
        name = image_id(f"{self.prefix}/{relative}" if self.prefix else relative)
        self.records[relative] = Record(name, self.folder / relative, classes, self._mask(row, relative))

    def _mask(self, row: Row, relative: str) -> Path | None:
        if row.mask:
            path = self.folder / inside(row.mask)
            if not path.is_file():
                raise BadEntry(
                    f"names the mask {row.mask!r}, but there is no such file: put it there, or empty the cell"
                )
            return path
        name = image_id(relative)
        found = self.masks.get(name) or self.masks.get(name.removeprefix(IMAGE_FOLDER + "/"))
        return self.folder / MASK_FOLDER / found if found else None


def _splits(tables: Mapping[str | None, Table]) -> tuple[str, ...]:
    if None in tables:
        return tuple(sorted({row.split for row in tables[None].rows if row.split}))
    return tuple(sorted(name for name in tables if name is not None))
