"""What a training leaves to look at: two tables, TensorBoard's events, sample pictures."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from advcam.io.files import unwritable, write_table, writing
from advcam.training.state import FitState


class TrainingLogs:
    """Files beside the state of a training.

    ``log.csv`` has a row per update, ``validation.csv`` one per validation, ``tensorboard/`` both as events, and
    ``samples/<update>_<name>.png`` the pictures of each validation.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._events: BinaryIO | None = None

    def update(self, state: FitState, first: int) -> None:
        """Add the updates from ``first`` on to the events."""
        for update in range(first, state.updates):
            losses = {f"train/{name}": values[update] for name, values in state.losses.items()}
            self._event(update + 1, {"lr": state.rates[update], **losses})

    def validation(self, state: FitState, pictures: Mapping[str, UInt8[np.ndarray, "_ _ 3"]]) -> None:
        """Add the last validation to the events, and write its pictures."""
        self._event(state.updates, {f"val/{name}": v for name, v in state.validations[-1].items() if name != "update"})
        for name, picture in pictures.items():
            with writing(self.folder / "samples" / f"{state.updates:06d}_{name}.png") as temporary:
                Image.fromarray(picture).save(temporary, "PNG")

    def tables(self, state: FitState) -> None:
        """Write both tables whole."""
        rows = (
            [update + 1, *(f"{values[update]:.6g}" for values in (state.rates, *state.losses.values()))]
            for update in range(state.updates)
        )
        write_table(self.folder / "log.csv", [("update", "lr", *state.losses), *rows])
        if state.validations:
            names = tuple(state.validations[0])
            scores = ([f"{row[name]:.6g}" for name in names] for row in state.validations)
            write_table(self.folder / "validation.csv", [names, *scores])

    def close(self) -> None:
        if self._events is not None:
            # What a full disk did not take was told of; closing tries once more.
            with suppress(OSError):
                self._events.close()
            self._events = None

    def _event(self, update: int, figures: Mapping[str, float]) -> None:
        """Append figures to the events, here and now: TensorBoard's own writer fails in a thread on a full disk."""
        # Takes a moment to import.
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        now, folder = time.time(), self.folder / "tensorboard"
        values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        path = folder / f"events.out.tfevents.{int(now)}.{os.getpid()}"
        try:
            if self._events is None:
                folder.mkdir(parents=True, exist_ok=True)
                self._events = path.open("ab")
                RecordWriter(self._events).write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
            event = Event(wall_time=now, step=update, summary=Summary(value=values))
            RecordWriter(self._events).write(event.SerializeToString())
            self._events.flush()
        except OSError as error:
            raise unwritable(path, error) from error
