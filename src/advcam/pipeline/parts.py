"""What a per-image stage is made of: batches, planned over the whole data set, and what is done with each.

The batches are planned over all images, whatever is already done or wanted: rounding in float32 depends on the batch,
and a climb amplifies it. So neither where a run was stopped, nor who works on which, nor ``--limit`` changes a byte.
They are planned by blocks of images, so that a part knows its batches from the headers of its own images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from advcam.data.images import image_size
from advcam.data.record import Record
from advcam.errors import DataError
from advcam.io.share import Part
from advcam.pipeline.run import Run

Size = tuple[int, int]
Loaded = TypeVar("Loaded")
# Images that are planned together.
BLOCK = 1024


@dataclass(frozen=True)
class Batch:
    """Images that are worked on together; of one size, (height, width), where that matters."""

    records: tuple[Record, ...]
    size: Size | None = None


@dataclass
class Outcome:
    """What came of a batch."""

    files: list[tuple[str, str, Path]] = field(default_factory=list)
    """Artifact, image and file of what was written."""
    problems: list[str] = field(default_factory=list)
    """Images that were left out, with the reasons."""
    told: Counter[str] = field(default_factory=Counter)
    """What else is worth counting."""
    died: list[str] = field(default_factory=list)
    """Images that processes died on."""


@runtime_checkable
class Work(Protocol):
    """What a per-image stage does with a batch. Every process builds its own."""

    @property
    def threaded(self) -> bool:
        """Batches go through threads side by side; else each is made while the next loads and the last is saved."""

    def load(self, batch: Batch) -> Any: ...

    def make(self, batch: Batch, loaded: Any) -> Any: ...

    def save(self, batch: Batch, made: Any, missing: Mapping[str, frozenset[str]]) -> Outcome:
        """Write what is missing, the artifacts by image."""


@dataclass(frozen=True)
class Wanted:
    """An artifact with a file for every image: the keys that the files must have, known or made for some images."""

    name: str
    keys: Mapping[str, str] | Callable[[Sequence[Record]], Mapping[str, str]]

    def keys_of(self, records: Sequence[Record]) -> Mapping[str, str]:
        """Of some images, but for those that have no such file."""
        if callable(self.keys):
            return self.keys(records)
        return {record.id: self.keys[record.id] for record in records if record.id in self.keys}


@dataclass(frozen=True)
class Plan:
    """How images are put into batches, block by block.

    Args:
        records: all images, in the order of the data set.
        batches: the batches of one block.
    """

    records: Sequence[Record]
    batches: Callable[[Sequence[Record]], list[Batch]]

    def of(self, part: Part | None = None) -> Iterator[Batch]:
        """The batches of a part, or all. Those of a block share its images' places evenly, whatever is in them."""
        own = range(len(self.records)) if part is None else part.of(len(self.records))
        for start in range(own.start - own.start % BLOCK, own.stop, BLOCK):
            block = self.records[start : start + BLOCK]
            batches = self.batches(block)
            for index, batch in enumerate(batches):
                if start + index * len(block) // len(batches) in own:
                    yield batch


def plan(images: Iterable[tuple[Record, Size]], max_pairs: Callable[[Size], int]) -> list[Batch]:
    """Group images of equal size into batches of a bounded number of (image, class) pairs; at least one image each.

    Args:
        images: with height and width, in the order of the data set. One without a class counts as one pair.
        max_pairs: for a size, the largest number of pairs in a batch of several images.

    Returns:
        Batches in the order of their first images.

    >>> one, two = (Record(name, Path(name), (0,)) for name in "ab")
    >>> [batch.size for batch in plan([(one, (2, 3)), (two, (3, 2)), (one, (2, 3))], lambda size: 3)]
    [(2, 3), (3, 2)]
    """
    batches: list[tuple[Size, list[Record]]] = []
    filling: dict[Size, tuple[list[Record], int]] = {}
    for record, size in images:
        pairs = max(1, len(record.classes))
        together, there = filling.get(size, ([], 0))
        if not together or there + pairs > max_pairs(size):
            together, there = [], 0
            batches.append((size, together))
        together.append(record)
        filling[size] = together, there + pairs
    return [Batch(tuple(together), size) for size, together in batches]


def in_turn(records: Sequence[Record], count: int = 1) -> list[Batch]:
    """So many images in a batch, as they come; each by itself for what does not depend on its batch."""
    return [Batch(tuple(records[start : start + count])) for start in range(0, len(records), count)]


def sized(run: Run, records: Iterable[Record]) -> Iterator[tuple[Record, Size]]:
    """Images with their sizes; those whose header cannot be read are an error, or left out."""
    problems = []
    for record in records:
        try:
            yield record, run.fingerprints.shape(record.id, record.image, image_size)
        except DataError as error:
            problems.append(pass_over(error, run.config.skip_bad))
    run.leave_out(None, problems)


def pass_over(problem: DataError, skip_bad: bool) -> str:
    """What is noted of an image that is left out; where none may be, the problem itself is raised."""
    if not skip_bad:
        raise problem
    return str(problem)


def readable(
    records: Iterable[Record], read: Callable[[Record], Loaded], skip_bad: bool
) -> tuple[list[Record], list[Loaded], list[str]]:
    """The images that can be read, with what was read of them; the others are an error, or noted and left out."""
    found, problems = [], []
    for record in records:
        try:
            found.append((record, read(record)))
        except DataError as error:
            problems.append(pass_over(error, skip_bad))
    return [record for record, _ in found], [loaded for _, loaded in found], problems
