"""What is computed of one image, kept in a file: an interrupted analysis goes on, a repeated one computes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from advcam.analyse.subject import Subject
from advcam.data import Record
from advcam.io.arrays import reading_arrays, write_arrays

Arrays = dict[str, np.ndarray]


def kept(subject: Subject, what: str, settings: Any, record: Record, make: Callable[[], Arrays]) -> Arrays:
    """The arrays of one image: from the subject's cache, else made and put there.

    Args:
        what: a name for what is kept.
        settings: everything besides the subject that they depend on; its ``repr`` counts.
        record: the image.
        make: computes them.
    """
    if subject.cache is None:
        return make()
    parts = (what, settings, asdict(subject.climb), subject.max_side, subject.square, subject.digest, subject.map)
    key = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
    path = subject.cache / key / f"{record.id}.npz"
    if path.exists():
        with reading_arrays(path, what, "analyse") as arrays:
            if str(arrays["stamp"]) == stamp(record):
                return {name: arrays[name] for name in arrays if name != "stamp"}
    made = make()
    write_arrays(path, {**made, "stamp": np.array(stamp(record))})
    return made


def stamp(record: Record) -> str:
    """What tells one state of an image and its labels from another."""
    state = record.image.stat()
    return f"{record.classes} {state.st_size} {state.st_mtime_ns}"
