"""The state of a training on disk: a training that was stopped goes on from it as if nothing had happened."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from advcam.classify.settings import ClassifySettings
from advcam.data.record import ImageSet
from advcam.errors import RunError

# These change how fast the numbers come, never the numbers.
WITHOUT_EFFECT = ("workers", "checkpoint_seconds")


@dataclass
class EpochScores:
    """Validation after an epoch, counted from 1; the average precision of each class is NaN where no image has it."""

    epoch: int
    update: int
    val_map: float
    per_class_ap: dict[str, float]


@dataclass
class TrainingState:
    """Everything that the rest of a training depends on, and its history.

    ``origin`` describes settings and data: a training goes on only with its own. ``losses`` and ``rates`` have one
    value per update, ``validations`` one entry per epoch, ``seconds`` is the time spent so far.
    """

    origin: dict[str, str]
    updates: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    validations: list[EpochScores] = field(default_factory=list)
    model: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    precision: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the state; the file at ``path`` is whole at any moment."""
        buffer = io.BytesIO()
        torch.save({**vars(self), "validations": [asdict(scores) for scores in self.validations]}, buffer)
        write_whole(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> TrainingState:
        """Read a state; no code in the file is ever run.

        Raises:
            RunError: the file is not the state of a training.
        """
        try:
            values = torch.load(path, map_location="cpu", weights_only=True)
            values["validations"] = [EpochScores(**scores) for scores in values["validations"]]
            return cls(**values)
        except Exception as error:
            raise RunError(
                f"{path}: not the state of a training that this version can go on with ({type(error).__name__}): "
                "delete it to start again"
            ) from error


def origin_of(settings: ClassifySettings, train: ImageSet, val: ImageSet | None) -> dict[str, str]:
    """What a training's numbers depend on, in words: its settings, classes and labelled images."""
    origin = {
        name: str(list(value) if isinstance(value, tuple) else value)
        for name, value in asdict(settings).items()
        if name not in WITHOUT_EFFECT
    }
    origin["classes"] = ", ".join(train.class_names)
    for name, image_set in (("training images", train), ("validation images", val)):
        records = () if image_set is None else image_set.records
        digest = hashlib.sha256("\n".join(f"{record.id} {record.classes}" for record in records).encode())
        origin[name] = f"{len(records)} ({digest.hexdigest()[:8]})"
    return origin


def check_origin(path: Path, found: dict[str, str], wanted: dict[str, str]) -> None:
    """Refuse to go on with a training of other settings or data.

    Raises:
        RunError: it names the first difference.
    """
    for name in wanted:
        if found.get(name) != wanted[name]:
            raise RunError(
                f"{path}: this training was started with {name} {found.get(name)}, but is asked to go on with "
                f"{wanted[name]}: use the same again, another output folder, or start over"
            )


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that ``path`` holds either the old content or all of the new.

    Raises:
        RunError: the folder cannot be written to, or is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(
            f"{path}: cannot be written ({error.strerror}): free the folder or choose another one"
        ) from error
