"""``review.csv``: what to look at, why, and what a person decided. Decisions are never lost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from advcam.errors import RunError
from advcam.io import files

COLUMNS = ("image", "class", "doubt", "reasons", "decision")


@dataclass(frozen=True)
class Entry:
    """One class of one image in the queue."""

    image: str
    class_name: str
    doubt: float
    reasons: tuple[str, ...] = ()
    """The heaviest first, with their numbers: ``disagree 0.81``."""
    decision: str = ""
    """Empty until a person has looked; then "accepted", "rejected", "corrected" or "relabelled"."""


def read_table(path: Path) -> list[Entry]:
    """The queue, the most doubtful first; nothing where there is none.

    Raises:
        RunError: the file is no such table.
    """
    if not path.exists():
        return []
    try:
        return [
            Entry(
                row["image"],
                row["class"],
                _doubt(row["doubt"]),
                tuple(filter(None, row["reasons"].split("; "))),
                row["decision"],
            )
            for row in files.read_table(path, COLUMNS)
        ]
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path} is not a whole table with the columns {', '.join(COLUMNS)} ({error}): restore it, or remove it "
            "and run `advcam review` again"
        ) from error


def _doubt(text: str) -> float:
    if not math.isfinite(doubt := float(text)):
        raise ValueError(f"a doubt is {text}")
    return doubt


def write_table(path: Path, entries: Iterable[Entry]) -> None:
    """Write the queue in one go."""
    rows = ((e.image, e.class_name, f"{e.doubt:.4f}", "; ".join(e.reasons), e.decision) for e in entries)
    files.write_table(path, [COLUMNS, *rows])


def renewed(old: Sequence[Entry], new: Sequence[Entry]) -> list[Entry]:
    """A new queue with the decisions of the old one, the most doubtful first; decided pairs that are gone are kept.

    >>> old = [Entry("a", "cat", 0.2, (), "accepted"), Entry("b", "dog", 0.1)]
    >>> [(e.image, e.doubt, e.decision) for e in renewed(old, [Entry("c", "cat", 0.9)])]
    [('c', 0.9, ''), ('a', 0.2, 'accepted')]
    """
    decided = {(entry.image, entry.class_name): entry for entry in old if entry.decision}
    found = [replace(entry, decision=decided.pop((entry.image, entry.class_name), entry).decision) for entry in new]
    return sorted([*found, *decided.values()], key=lambda entry: (-entry.doubt, entry.image, entry.class_name))


def decide(path: Path, decisions: Mapping[tuple[str, str], str]) -> None:
    """Note decisions by (image, class) in the table, at once; pairs that are not in it are added."""
    waiting = dict(decisions)
    entries = [
        replace(entry, decision=waiting.pop((entry.image, entry.class_name), entry.decision))
        for entry in read_table(path)
    ]
    entries += [Entry(image, name, 0.0, (), decision) for (image, name), decision in waiting.items()]
    write_table(path, entries)


def by_image(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """The entries of each image, the image with the most doubtful class first."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.image, []).append(entry)
    return dict(sorted(found.items(), key=lambda pair: -max(entry.doubt for entry in pair[1])))
