"""Label tables: CSV, TSV or JSON lines with a column for the image and one or more for its classes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from advcam.data.classes import shortened
from advcam.data.text import read_text
from advcam.errors import DataError

IMAGE_COLUMNS = ("file_name", "filename", "image", "path", "id")
LABEL_COLUMNS = ("labels", "label", "classes", "class")
SPLIT_COLUMN = "split"
MASK_COLUMN = "mask"
JSON_LINES = (".jsonl", ".ndjson")
SUFFIXES = (".csv", ".tsv", *JSON_LINES)

_DELIMITERS = (",", ";", "\t")
_ONE_HOT = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False, "": False}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table; ``labels`` is a cell as written, or a list where it holds one or has a column a class."""

    line: int
    image: str
    labels: str | tuple[str, ...]
    split: str
    mask: str


@dataclass(frozen=True)
class Table:
    """A label table. ``classes`` are the columns of a table that has one column of 0 and 1 for each class."""

    path: Path
    rows: tuple[Row, ...]
    classes: tuple[str, ...] | None


Cells = tuple[int, dict[str, Any]]


def read_table(path: Path) -> Table:
    """Read a label table.

    The columns are known by their names, in any case: the image by the first of ``file_name``, ``filename``,
    ``image``, ``path``, ``id``; the classes by the first of ``labels``, ``label``, ``classes``, ``class``, or, where
    there is none of these, by columns that hold nothing but 0 and 1, each named after its class; ``split`` and
    ``mask`` where they are. Other columns are passed over. Commas, semicolons and tabs may stand between cells.

    Raises:
        DataError: the file is missing, empty, not UTF-8 or not a table, or one of the columns is not there.
    """
    lines = list(_json_lines(path) if path.suffix.lower() in JSON_LINES else _delimited(path))
    if not lines:
        raise DataError(f"{path}: there is a heading but no row: add one row for each image")
    columns = list(dict.fromkeys(column for _, cells in lines for column in cells))
    found = f"(found: {shortened(columns, 8)})"
    image = _first(columns, IMAGE_COLUMNS)
    if image is None:
        raise DataError(f"{path}: no column names the image: call one 'image' or 'file_name' {found}")
    label = _first(columns, LABEL_COLUMNS)
    classes = _one_hot_columns(columns, [cells for _, cells in lines]) if label is None else None
    if label is None and not classes:
        raise DataError(f"{path}: no column holds the classes: call one 'labels' {found}")
    rows = tuple(
        Row(
            line=line,
            image=_text(cells.get(image)),
            labels=_labels(cells.get(label)) if label is not None else _one_hot(cells, classes or ()),
            split=_text(cells.get(SPLIT_COLUMN)),
            mask=_text(cells.get(MASK_COLUMN)),
        )
        for line, cells in lines
    )
    return Table(path, rows, classes)


def _delimited(path: Path) -> Iterator[Cells]:
    text = read_text(path)
    heading = text.lstrip().split("\n", 1)[0]
    delimiter = next((mark for mark in _DELIMITERS if _names_image(next(csv.reader([heading], delimiter=mark)))), ",")
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    columns: list[str] | None = None
    try:
        for cells in reader:
            while cells and not cells[-1].strip():
                cells.pop()
            if not cells:
                continue
            if columns is None:
                columns = [_column(cell) for cell in cells]
                if twice := next((column for column in columns if columns.count(column) > 1), None):
                    raise DataError(f"{path}: two columns are called {twice!r}: rename one of them")
                continue
            if len(cells) > len(columns):
                raise DataError(
                    f"{path}: line {reader.line_num} has {len(cells)} cells under {len(columns)} columns: put several "
                    "labels of an image into quotes, or write ';' between them"
                )
            yield reader.line_num, dict(zip_longest(columns, cells, fillvalue=""))
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num} is not well formed ({error}): correct its quotes") from error


def _json_lines(path: Path) -> Iterator[Cells]:
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: line {number} is not JSON ({error}): write one object a line") from error
        if not isinstance(cells, dict):
            raise DataError(f"{path}: line {number} is not a JSON object: write {{...}} with the names of the columns")
        yield number, {_column(name): value for name, value in cells.items()}


def _column(name: str) -> str:
    """A column's name as it is looked for; names of classes keep their case."""
    name = name.strip()
    simple = name.lower().replace(" ", "_")
    return simple if simple in (*IMAGE_COLUMNS, *LABEL_COLUMNS, SPLIT_COLUMN, MASK_COLUMN) else name


def _names_image(columns: Sequence[str]) -> bool:
    return any(_column(column) in IMAGE_COLUMNS for column in columns)


def _first(columns: Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in columns), None)


def _text(cell: object) -> str:
    return "" if cell is None else str(cell).strip()


def _labels(cell: object) -> str | tuple[str, ...]:
    return tuple(_text(label) for label in cell) if isinstance(cell, list) else _text(cell)


def _one_hot_columns(columns: Sequence[str], lines: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    others = [column for column in columns if column not in ("", *IMAGE_COLUMNS, SPLIT_COLUMN, MASK_COLUMN)]
    return tuple(column for column in others if all(_text(cells.get(column)).lower() in _ONE_HOT for cells in lines))


def _one_hot(cells: dict[str, Any], classes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in classes if _ONE_HOT[_text(cells.get(name)).lower()])
