"""What a training leaves to look at: two tables, TensorBoard's events, sample pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from advcam.data.files import write_text, writing
from advcam.training.state import FitState

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TrainingLogs:
    """Files beside the state of a training.

    ``log.csv`` has a row per update, ``validation.csv`` one per validation, ``tensorboard/`` both as events, and
    ``samples/<update>_<name>.png`` the pictures of each validation.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._events: SummaryWriter | None = None
        self._written = 0

    def update(self, state: FitState, first: int) -> None:
        """Add the updates from ``first`` on to the events."""
        for update in range(first, state.updates):
            self.events.add_scalar("lr", state.rates[update], update + 1)
            for name, values in state.losses.items():
                self.events.add_scalar(f"train/{name}", values[update], update + 1)

    def validation(self, state: FitState, pictures: Mapping[str, UInt8[np.ndarray, "_ _ 3"]]) -> None:
        """Add the last validation to the events, and write its pictures."""
        for name, value in state.validations[-1].items():
            if name != "update":
                self.events.add_scalar(f"val/{name}", value, state.updates)
        for name, picture in pictures.items():
            with writing(self.folder / "samples" / f"{state.updates:06d}_{name}.png") as temporary:
                Image.fromarray(picture).save(temporary, "PNG")

    def tables(self, state: FitState) -> None:
        """Write both tables whole."""
        rows = (
            {"update": update + 1, "lr": f"{state.rates[update]:.6g}"}
            | {name: f"{values[update]:.6g}" for name, values in state.losses.items()}
            for update in range(state.updates)
        )
        write_table(self.folder / "log.csv", ("update", "lr", *state.losses), rows)
        if state.validations:
            names = tuple(state.validations[0])
            scores = ({name: f"{row[name]:.6g}" for name in names} for row in state.validations)
            write_table(self.folder / "validation.csv", names, scores)
        if self._events is not None:
            self._events.flush()

    def close(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None

    @property
    def events(self) -> SummaryWriter:
        if self._events is None:
            # Takes seconds to import.
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(self.folder / "tensorboard"))
        return self._events


def write_table(path: Path, columns: Iterable[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows as CSV in one go."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
