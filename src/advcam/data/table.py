"""Label tables: CSV, TSV or JSON lines with a column for the image and one or more for its classes."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from advcam.data.classes import is_background
from advcam.data.text import read_text
from advcam.errors import DataError, shortened

IMAGE_COLUMNS = ("file_name", "filename", "image", "path", "id")
LABEL_COLUMNS = ("labels", "label", "classes", "class")
SPLIT_COLUMN = "split"
MASK_COLUMN = "mask"
JSON_LINES = (".jsonl", ".ndjson")
SUFFIXES = (".csv", ".tsv", *JSON_LINES)

_DELIMITERS = (",", ";", "\t")
_ONE_HOT = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False, "": False}
# Medical label sets write so that nobody knows. It is not a no, so the image cannot be used.
_UNKNOWN = frozenset(("-1", "-1.0", "nan", "null", "none", "na", "n/a", "u", "?", "unknown", "uncertain", "unsure"))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table; ``labels`` is a cell as written, or a list where it holds one or has a column a class.

    ``fault`` says why the labels of a line cannot be used.
    """

    line: int
    image: str
    labels: str | tuple[str, ...]
    split: str
    mask: str
    fault: str | None = None


@dataclass(frozen=True)
class Table:
    """A label table. ``classes`` are the columns of a table that has one column of 0 and 1 for each class.

    ``unused`` are its other columns.
    """

    path: Path
    rows: tuple[Row, ...]
    classes: tuple[str, ...] | None
    unused: tuple[str, ...] = ()


Cells = tuple[int, dict[str, Any]]


def read_table(path: Path, known: Sequence[str] | None = None) -> Table:
    """Read a label table.

    The columns are known by their names, in any case: the image by the first of ``file_name``, ``filename``,
    ``image``, ``path``, ``id``; the classes by the first of ``labels``, ``label``, ``classes``, ``class``, or, where
    there is none of these, by columns of 0 and 1, each named after its class; ``split`` and ``mask`` where they are.
    Commas, semicolons and tabs may stand between cells.

    Columns of 0 and 1 are those with nothing else in them but empty cells (0) and the usual words for "not known"
    (-1, nan, u, ...): a line with such a word has a fault, since not known is not no. With ``known`` classes only
    columns of these names count.

    Raises:
        DataError: the file is missing, empty, not UTF-8 or not a table; one of the columns is not there; or a column
            holds 0 and 1 in most lines and something else in others.
    """
    lines = list(_json_lines(path) if path.suffix.lower() in JSON_LINES else _delimited(path))
    if not lines:
        raise DataError("there is a heading but no row: add one row for each image", path)
    columns = list(dict.fromkeys(column for _, cells in lines for column in cells))
    found = f"(found: {shortened(columns, 8)})"
    image = _first(columns, IMAGE_COLUMNS)
    if image is None:
        raise DataError(f"no column names the image: call one 'image' or 'file_name' {found}", path)
    label = _first(columns, LABEL_COLUMNS)
    marked = _one_hot_columns(path, columns, lines, known) if label is None else ()
    if label is None and not marked:
        raise DataError(f"no column holds the classes: call one 'labels' {found}", path)
    used = {image, label, SPLIT_COLUMN, MASK_COLUMN, "", *marked}
    rows = tuple(
        Row(
            line=line,
            image=_text(cells.get(image)),
            labels=_labels(path, line, cells.get(label)) if label is not None else _one_hot(cells, marked),
            split=sys.intern(_text(cells.get(SPLIT_COLUMN))),
            mask=_text(cells.get(MASK_COLUMN)),
            fault=_unknown(cells, marked),
        )
        for line, cells in lines
    )
    classes = tuple(name for name in marked if not is_background(name))
    return Table(path, rows, classes or None, tuple(column for column in columns if column not in used))


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
                if twice := next((column for column, count in Counter(columns).items() if count > 1), None):
                    raise DataError(f"two columns are called {twice!r}: rename one of them", path)
                continue
            if len(cells) > len(columns):
                raise DataError(
                    f"line {reader.line_num} has {len(cells)} cells under {len(columns)} columns: put several "
                    "labels of an image into quotes, or write ';' between them",
                    path,
                )
            yield reader.line_num, dict(zip_longest(columns, cells, fillvalue=""))
    except csv.Error as error:
        raise DataError(f"line {reader.line_num} is not well formed ({error}): correct its quotes", path) from error


def _json_lines(path: Path) -> Iterator[Cells]:
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"line {number} is not JSON ({error}): write one object a line", path) from error
        if not isinstance(cells, dict):
            raise DataError(f"line {number} is not a JSON object: write {{...}} with the names of the columns", path)
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


def _labels(path: Path, line: int, cell: object) -> str | tuple[str, ...]:
    if isinstance(cell, dict) or (isinstance(cell, list) and any(isinstance(name, dict | list) for name in cell)):
        raise DataError(f"line {line} has labels that are neither a name nor a list of names: write names", path)
    return tuple(map(_text, cell)) if isinstance(cell, list) else sys.intern(_text(cell))


def _one_hot_columns(
    path: Path, columns: Sequence[str], lines: Sequence[Cells], known: Sequence[str] | None
) -> tuple[str, ...]:
    """The columns of 0 and 1; DataError where one is that in most lines only."""
    found = []
    for column in columns:
        if column in ("", *IMAGE_COLUMNS, SPLIT_COLUMN, MASK_COLUMN) or not (known is None or column in known):
            continue
        values = [_text(cells.get(column)).lower() for _, cells in lines]
        marks = sum(value in _ONE_HOT and value != "" for value in values)
        others = [number for number, value in enumerate(values) if value not in _ONE_HOT and value not in _UNKNOWN]
        if marks and not others:
            found.append(column)
        elif marks > len(others) or (known is not None and others):
            line, cells = lines[others[0]]
            raise DataError(
                f"line {line} has {_text(cells.get(column))!r} in the column {column!r}, which else holds 0 and 1: "
                "write 0, 1 or -1 (not known) if it is a class; else remove it, or list all classes in classes.txt",
                path,
            )
    return tuple(found)


def _one_hot(cells: dict[str, Any], classes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in classes if _ONE_HOT.get(_text(cells.get(name)).lower()))


def _unknown(cells: dict[str, Any], classes: tuple[str, ...]) -> str | None:
    for name in classes:
        value = _text(cells.get(name))
        if value.lower() in _UNKNOWN:
            return (
                f"has {value!r} (not known) in the column {name!r}, and not known is not no: write 0 or 1, or leave "
                "the image out with skip_bad"
            )
    return None
