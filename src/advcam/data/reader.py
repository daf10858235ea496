"""What every format's reader offers, and what they share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from advcam.data.classes import check_count
from advcam.data.record import ImageSet, Problem, Record
from advcam.errors import DataError


@runtime_checkable
class Reader(Protocol):
    """A data set in one format. Nothing is decoded: labels, names and the list of files are all it looks at."""

    @property
    def format(self) -> str:
        """What the format is called, for a person."""

    @property
    def one_split_at_a_time(self) -> bool:
        """Whether a split must be chosen where there are several, since they overlap or belong to several files."""

    def splits(self) -> tuple[str, ...]:
        """The splits there are, in order; none where the data set is not divided."""

    def read(self, split: str | None) -> ImageSet:
        """The images of a split. Entries that cannot be used are not among the records, but in ``left_out``."""


@runtime_checkable
class KnownDataset(Protocol):
    """The reader of one particular data set, which knows how much there is of it."""

    def integrity(self) -> list[Problem]:
        """Whether all of it is there."""


def collect(
    reader: Reader,
    root: Path,
    split: str | None,
    class_names: Sequence[str],
    records: Iterable[Record],
    problems: Sequence[Problem],
    notices: Sequence[Problem] = (),
) -> ImageSet:
    """The image set in order of the ids. Of several images with one id the first by name stays."""
    kept: dict[str, Record] = {}
    left_out = list(problems)
    for record in sorted(records, key=lambda record: (record.id, str(record.image))):
        if (first := kept.get(record.id)) is None:
            kept[record.id] = record
        elif first.image == record.image:
            left_out.append(Problem(str(record.image), "the image is listed twice: remove one of the lines"))
        else:
            left_out.append(
                Problem(
                    str(record.image), f"the image has the same id {record.id!r} as {first.image}: rename one of them"
                )
            )
    names = check_count(class_names, root)
    return ImageSet(root, reader.format, split, names, tuple(kept.values()), tuple(left_out), tuple(notices))


def chosen_split(where: Path, split: str | None, splits: Sequence[str], *, needed: bool) -> str | None:
    """The split to read: the given one, which must exist; else the only one; else none, where one is not ``needed``.

    Raises:
        DataError: there is no such split, or there are several and one has to be chosen.
    """
    listed = ", ".join(splits) or "it has none"
    if split is not None and split not in splits:
        raise DataError(f"there is no split {split!r}: choose one of its splits ({listed})", where)
    if split is None and needed and len(splits) > 1:
        raise DataError(f"there are several splits: choose one ({listed})", where)
    return splits[0] if split is None and needed and splits else split


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Class names in the order of the alphabet, or of their value where all are numbers.

    >>> ordered(["10", "9", "9"]), ordered(["cat", "9", "10"])
    (('9', '10'), ('10', '9', 'cat'))
    """
    unique = set(names)
    if all(name.isdecimal() for name in unique):
        return tuple(sorted(unique, key=lambda name: (len(name.lstrip("0")), name.lstrip("0"), name)))
    return tuple(sorted(unique))
