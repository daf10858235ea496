"""``boxes.csv``: ground-truth boxes beside any folder of labelled images."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path

from advcam.data.ids import image_id
from advcam.data.reader import Reader
from advcam.data.record import Box, ImageSet, Problem, Record, as_problem
from advcam.data.text import read_text
from advcam.errors import DataError

BOX_FILE = "boxes.csv"
_CORNERS = ("x0", "y0", "x1", "y1")


@dataclass(frozen=True)
class WithBoxes:
    """A reader's image sets with the boxes of a table.

    Its columns are ``image``, ``x0``, ``y0``, ``x1``, ``y1`` in pixels, x1 and y1 one past the last, and ``class``,
    which may be missing where the image has one class; others, such as ``score``, are passed over. So a run's own
    ``boxes.csv``, once corrected, will do. Images without a line have no boxes.
    """

    reader: Reader
    path: Path

    @property
    def format(self) -> str:
        return f"{self.reader.format}, with boxes"

    @property
    def one_split_at_a_time(self) -> bool:
        return self.reader.one_split_at_a_time

    def splits(self) -> tuple[str, ...]:
        return self.reader.splits()

    def read(self, split: str | None) -> ImageSet:
        images = self.reader.read(split)
        boxes = self._boxes()
        known = {record.id for record in images.records}
        if boxes.keys() - known and split is not None and not self.one_split_at_a_time:
            known |= {record.id for record in self.reader.read(None).records}
        records: list[Record] = []
        problems: list[Problem] = []
        for name, rows in boxes.items():
            if name not in known:
                message = f"line {rows[0][0]} names {name!r}, which is no image of the data set: correct it"
                problems.append(Problem(str(self.path), message))
        for record in images.records:
            try:
                own = tuple(self._box(record, row, images.class_names) for row in boxes.get(record.id, ()))
                records.append(replace(record, boxes=own or None))
            except DataError as error:
                problems.append(as_problem(error))
        return replace(images, format=self.format, records=tuple(records), left_out=(*images.left_out, *problems))

    def _boxes(self) -> dict[str, list[tuple[int, dict[str, str]]]]:
        """The lines of every image, by its id."""
        lines = csv.DictReader(read_text(self.path).split("\n"))
        columns = [name.strip() for name in lines.fieldnames or ()]
        missing = [name for name in ("image", *_CORNERS) if name not in columns]
        if missing:
            raise DataError(f"there is no column {missing[0]!r}: write image,class,x0,y0,x1,y1", self.path)
        found: dict[str, list[tuple[int, dict[str, str]]]] = defaultdict(list)
        for row in lines:
            cells = {(name or "").strip(): (value or "").strip() for name, value in row.items() if name is not None}
            # A fixed table may come from another system.
            found[image_id(cells["image"].replace("\\", "/").removeprefix("./"))].append((lines.line_num, cells))
        return found

    def _box(self, record: Record, row: tuple[int, dict[str, str]], class_names: tuple[str, ...]) -> Box:
        line, cells = row
        where = f"line {line}"
        try:
            x0, y0, x1, y1 = (float(cells[corner]) for corner in _CORNERS)
            if not all(map(isfinite, (x0, y0, x1, y1))):
                raise ValueError("not finite")
        except ValueError:
            raise DataError(f"{where} has a corner that is no finite number: correct it", self.path) from None
        if not (x0 <= x1 and y0 <= y1):
            raise DataError(f"{where} has swapped corners: write x0 <= x1 and y0 <= y1", self.path)
        name = cells.get("class", "")
        if name and name not in class_names:
            raise DataError(
                f"{where} names the class {name!r}, which the data set does not have: correct it", self.path
            )
        if not name and len(record.classes) != 1:
            raise DataError(
                f"{where} names no class, and its image has {len(record.classes)}: add a column class", self.path
            )
        return Box(class_names.index(name) if name else record.classes[0], x0, y0, x1, y1)
