"""What a training tells while it runs, and two ways to show it: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@dataclass(frozen=True)
class TrainingEvent:
    """After an update, or, where ``validated``, after the validation that follows an epoch's last one.

    ``epoch`` counts from 1; ``update`` counts the updates made, also those before a training went on; ``loss`` is of
    the last batch; ``val_map`` is the validation mAP in [0, 1], None without validation images.
    """

    epoch: int
    epochs: int
    update: int
    updates: int
    loss: float
    validated: bool = False
    val_map: float | None = None


class TrainingProgress:
    """Shows the events of a training: pass it as ``on_event`` of ``train_classifier``.

    Args:
        console: where to; standard error unless told. A bar if it is a terminal, else a line at most every
            ``seconds`` and after each epoch.

    >>> from io import StringIO
    >>> out = StringIO()
    >>> with TrainingProgress(Console(file=out, width=100)) as progress:
    ...     progress(TrainingEvent(epoch=1, epochs=5, update=10, updates=50, loss=0.5, validated=True, val_map=0.25))
    >>> out.getvalue()
    'classify: epoch 1/5, update 10/50, loss 0.500, validation mAP 0.250\\n'
    """

    def __init__(self, console: Console | None = None, seconds: float = 30.0) -> None:
        self.console = Console(stderr=True) if console is None else console
        self.seconds = seconds
        self.map = ""
        self._last_line = time.monotonic()
        self._bar: Progress | None = None
        if self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, TextColumn("{task.fields[figures]}"), console=self.console)
            self._task = self._bar.add_task("classify", figures="")

    def __enter__(self) -> TrainingProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: TrainingEvent) -> None:
        if event.val_map is not None:
            self.map = f", validation mAP {event.val_map:.3f}"
        if self._bar is not None:
            self._bar.update(
                self._task,
                completed=event.update,
                total=event.updates,
                description=f"classify: epoch {event.epoch}/{event.epochs}",
                figures=f"loss {event.loss:.3f}{self.map}",
            )
        elif event.validated or time.monotonic() - self._last_line >= self.seconds:
            self._last_line = time.monotonic()
            self.console.print(
                f"classify: epoch {event.epoch}/{event.epochs}, update {event.update}/{event.updates}, "
                f"loss {event.loss:.3f}{self.map}",
                highlight=False,
                soft_wrap=True,
            )
