"""What an analysis leaves behind: a table, its main figures beside the paper's, and a plot, each in its file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from advcam.io.files import read_json, write_table, write_text, writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Value = float | int | str | bool | None
# Resolution of the PNG; the SVG has none.
DOTS_PER_INCH = 130


@dataclass(frozen=True)
class Analysis:
    """One figure or table, measured.

    ``rows`` are the measured points, all with the same columns. ``numbers`` are what it comes to, by name; ``paper``
    has the paper's under the same names, where it prints them. ``facts`` say on what it was measured.
    """

    name: str
    title: str
    caption: str
    rows: Sequence[Mapping[str, Value]]
    numbers: Mapping[str, Value]
    paper: Mapping[str, Value] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    draw: Callable[[Figure], None] | None = None
    """Draws the plot onto an empty figure."""
    size: tuple[float, float] = (7.0, 4.0)
    """Of the plot, in inches."""

    def write(self, folder: Path) -> list[Path]:
        """Write NAME.csv, NAME.json and, where there is a plot, NAME.png and NAME.svg; returns what was written."""
        paths = [folder / f"{self.name}.csv", folder / f"{self.name}.json"]
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        write_table(paths[0], [columns, *([rounded(row.get(key, "")) for key in columns] for row in self.rows)])
        write_text(paths[1], json.dumps(plain(self.to_json()), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        if self.draw is not None:
            paths += [folder / f"{self.name}.png", folder / f"{self.name}.svg"]
            self._plot(paths[2:])
        return paths

    def to_json(self) -> dict[str, Any]:
        names = ("name", "title", "caption", "numbers", "paper", "facts", "rows")
        return {name: getattr(self, name) for name in names}

    def _plot(self, paths: Sequence[Path]) -> None:
        from matplotlib import rc_context

        from advcam.analyse.plot import new_figure

        assert self.draw is not None
        figure = new_figure(self.size)
        self.draw(figure)
        for path in paths:
            kind = path.suffix[1:]
            # No date and no random names in the file: equal numbers give equal bytes.
            metadata = {"Date": None} if kind == "svg" else {"Software": None}
            with writing(path) as temporary, rc_context({"svg.hashsalt": self.name}):
                figure.savefig(temporary, format=kind, dpi=DOTS_PER_INCH, metadata=metadata)


class _Measured(msgspec.Struct):
    name: str
    title: str
    caption: str
    numbers: dict[str, int | float | str | None]
    paper: dict[str, int | float | str | None]
    facts: dict[str, Any]


def read_analysis(path: Path) -> dict[str, Any]:
    """The JSON that ``Analysis.write`` wrote.

    Raises:
        RunError: it is damaged, or something else.
    """
    return msgspec.to_builtins(read_json(path, _Measured, "run `advcam analyse` again, or delete it"))


def by_name(columns: Sequence[str], rows: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The values of a table by the names of their column and row.

    >>> by_name(("recall", "f1"), {"CAM": (66.4, 66.2)})
    {'recall, CAM': 66.4, 'f1, CAM': 66.2}
    """
    return {f"{column}, {row}": value for row, own in rows.items() for column, value in zip(columns, own, strict=True)}


def rounded(value: Value) -> Value:
    """A value for a table of text: six significant digits; nothing for what is not defined.

    >>> rounded(1 / 3), rounded(float("nan")), rounded("both")
    (0.333333, '', 'both')
    """
    if isinstance(value, float):
        return "" if math.isnan(value) else float(f"{value:.6g}")
    return value


def plain(value: Any) -> Any:
    """A value as JSON has it: null for what is not defined, six significant digits, lists for tuples."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
