"""Part i of n of a stage that goes image by image, for those who share it out: Slurm arrays, Kubernetes jobs.

Parts run at the same time, each by itself: they hold the run folder together, and each notes what it made in files of
its own (``KEYS/<artifact>.parts``). A mark says that a part is whole, after all its files. ``advcam collect`` takes the
parts' notes over; until then the stage is not done.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from advcam.errors import SettingsError
from advcam.io.files import read_json, write_json


@dataclass(frozen=True)
class Part:
    """Part ``index``, from 1 on, of ``count``.

    >>> Part.parse("2/3").of(10), str(Part(2, 3)), Part(2, 3).name
    (range(3, 6), '2/3', '2-of-3')
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Part:
        found = re.fullmatch(r"(\d{1,7})/(\d{1,7})", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise SettingsError(f"part is {text}, and must be i/n with i from 1 to n, such as 3/8")
        return cls(int(found[1]), int(found[2]))

    def of(self, total: int) -> range:
        """Its places among so many."""
        return range(total * (self.index - 1) // self.count, total * self.index // self.count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def name(self) -> str:
        return f"{self.index}-of-{self.count}"


class Mark(msgspec.Struct):
    """That a part is whole: what came of it beside files."""

    part: str
    made: int = 0
    without: dict[str, str] = {}
    """Images that were left out, with the key that their files would have."""
    problems: list[str] = []
    """Why, in words."""
    told: dict[str, int] = {}
    """What else was counted."""

    def write(self, folder: Path) -> None:
        part = Part.parse(self.part)
        write_json(folder / f"{part.name}.json", msgspec.to_builtins(self))


def read_marks(folder: Path) -> list[Mark]:
    """The marks of the parts that are whole."""
    return [read_json(path, Mark) for path in sorted(folder.glob("*.json"))]


def lacking_parts(folder: Path) -> list[Part]:
    """The parts that have begun or must be, and are not whole: of the last division into parts."""
    begun = sorted(folder.glob("*-of-*.json*"), key=lambda path: path.stat().st_mtime_ns)
    if not begun:
        return []
    count = int(begun[-1].name.split(".")[0].split("-of-")[1])
    done = {path.name for path in begun}
    return [part for part in (Part(i, count) for i in range(1, count + 1)) if f"{part.name}.json" not in done]
