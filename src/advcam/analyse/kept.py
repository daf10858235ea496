"""What is computed of one image, kept in a file: an interrupted analysis goes on, a repeated one computes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from advcam.analyse.subject import Subject
from advcam.attribute.settings import ClimbSettings
from advcam.data import Record
from advcam.io.arrays import reading_arrays, write_arrays

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Store:
    """Arrays of single images, in files where there is a folder, else in memory."""

    folder: Path | None
    what: str
    """A name for what is kept."""
    memory: dict[str, Arrays] = field(default_factory=dict)

    @classmethod
    def of(cls, subject: Subject, what: str, *parts: Any) -> Store:
        """Of all that the arrays depend on; the ``repr`` of ``parts`` counts."""
        key = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
        return cls(None if subject.cache is None else subject.cache / key, what)

    def has(self, record: Record) -> bool:
        """Whether there are arrays of the image as it is now."""
        if self.folder is None:
            return record.id in self.memory
        path = self.folder / f"{record.id}.npz"
        if not path.exists():
            return False
        with reading_arrays(path, self.what, "analyse") as arrays:
            return str(arrays["stamp"]) == stamp(record)

    def read(self, record: Record) -> Arrays:
        if self.folder is None:
            return self.memory[record.id]
        with reading_arrays(self.folder / f"{record.id}.npz", self.what, "analyse") as arrays:
            return {name: arrays[name] for name in arrays if name != "stamp"}

    def write(self, record: Record, arrays: Arrays) -> None:
        if self.folder is None:
            self.memory[record.id] = arrays
        else:
            write_arrays(self.folder / f"{record.id}.npz", {**arrays, "stamp": np.array(stamp(record))})


def kept(subject: Subject, what: str, settings: Any, record: Record, make: Callable[[], Arrays]) -> Arrays:
    """The arrays of one image: from the subject's cache, else made and put there.

    Args:
        what: a name for what is kept.
        settings: everything besides the subject that they depend on; its ``repr`` counts.
        record: the image.
        make: computes them.
    """
    own = (subject.max_side, subject.square, subject.digest, subject.map)
    store = Store.of(subject, what, what, settings, named(subject.climb), *own)
    if not store.has(record):
        store.write(record, make())
    return store.read(record)


def named(climb: ClimbSettings) -> dict[str, Any]:
    """A climb's settings, those that are set."""
    return {name: value for name, value in asdict(climb).items() if value is not None}


def stamp(record: Record) -> str:
    """What tells one state of an image and its labels from another."""
    state = record.image.stat()
    return f"{record.classes} {state.st_size} {state.st_mtime_ns}"
