"""The state of a training on disk: a training that was stopped goes on from it as if nothing had happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from advcam.errors import RunError
from advcam.io.files import writing


@dataclass
class FitState:
    """Everything that the rest of a training depends on, and its history.

    ``origin`` describes settings and data: a training goes on only with its own. ``losses`` has one value per update
    under each name, ``validations`` one entry per validation, ``seconds`` is the time spent so far.
    """

    origin: dict[str, str]
    updates: int = 0
    seconds: float = 0.0
    rates: list[float] = field(default_factory=list)
    losses: dict[str, list[float]] = field(default_factory=dict)
    validations: list[dict[str, float]] = field(default_factory=list)
    network: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    precision: dict[str, Any] = field(default_factory=dict)

    def best(self, score: str) -> dict[str, float]:
        """The validation with the highest score, of equal ones the first."""
        return max(self.validations, key=lambda row: row[score])

    def save(self, path: Path) -> None:
        """Write the state; the file at ``path`` is whole at any moment."""
        save_tensors(path, vars(self))

    @classmethod
    def load(cls, path: Path) -> FitState:
        """Read a state; no code in the file is ever run."""
        try:
            return cls(**torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:
            raise RunError(
                f"{path}: not the state of a training that this version can go on with ({type(error).__name__}): "
                "delete it to start again"
            ) from error

    def check_origin(self, path: Path, wanted: Mapping[str, str]) -> None:
        """Refuse to go on with a training of other settings or data."""
        for name in wanted:
            if self.origin.get(name) != wanted[name]:
                raise RunError(
                    f"{path}: this training was started with {name} {self.origin.get(name)}, but is asked to go on "
                    f"with {wanted[name]}: use the same again, another output folder, or start over"
                )


@dataclass(frozen=True)
class Plan:
    """How long a training is, and where its state is kept.

    Attributes:
        path: of the state on disk; logs and pictures are written beside it.
        total: updates of the whole training.
        validate_every: updates between two validations.
        origin: the settings and data that the state on disk must be of.
    """

    path: Path
    total: int
    validate_every: int
    origin: Mapping[str, str]

    def state(self) -> FitState:
        """Where the training stands: from the disk, or at its beginning."""
        if not self.path.exists():
            return FitState(dict(self.origin))
        state = FitState.load(self.path)
        state.check_origin(self.path, self.origin)
        return state


def best_weights(path: Path, validation: Mapping[str, float]) -> Path:
    """Where the weights of a validation are, for the state at ``path``.

    The name has the update, so that the weights a state speaks of stay in place until a later state is written.
    """
    return path.with_name(f"best_{round(validation['update']):06d}.pt")


def load_best(path: Path, validation: Mapping[str, float]) -> dict[str, Tensor]:
    """The weights of a validation that was the best one."""
    file = best_weights(path, validation)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RunError(
            f"{best_weights(path, validation)}: the weights of the best validation cannot be read "
            f"({type(error).__name__}): restore the file, or delete {path.name} beside it to start again"
        ) from error


def forget_others(path: Path, validation: Mapping[str, float]) -> None:
    """Remove the weights of other validations, once the state at ``path`` speaks of this one."""
    kept = best_weights(path, validation)
    for file in path.parent.glob("best*.pt") if kept.exists() else ():
        if file != kept:
            file.unlink()


def save_tensors(path: Path, value: Any) -> None:
    """Write what holds tensors in one go, and wait until the disk has it."""
    # By a stream: the archive would have the temporary name in it.
    with writing(path) as temporary, temporary.open("wb") as stream:
        try:
            torch.save(value, stream)
        except RuntimeError as error:
            # What the stream said, a full disk it may be, is behind what torch makes of it.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
