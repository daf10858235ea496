"""What a training tells while it runs, and two ways to show it: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@dataclass(frozen=True)
class FitEvent:
    """After an update, and once more after a validation that was due, which ``scores`` then holds.

    ``update`` counts the updates made, also those before a training went on; ``losses`` are of the last batch, where
    they were fetched from the device.
    """

    update: int
    updates: int
    losses: Mapping[str, float]
    scores: Mapping[str, float] | None = None


class FitProgress:
    """Shows the events of a training: pass it as ``on_event`` of ``fit``.

    Args:
        what: is trained.
        console: where to; standard error unless told. A bar if it is a terminal, else a line at most every
            ``seconds`` and after each validation.

    >>> from io import StringIO
    >>> out = StringIO()
    >>> with FitProgress("segment", Console(file=out, width=100)) as progress:
    ...     progress(FitEvent(10, 50, {"loss": 0.5}, {"mIoU": 0.25}))
    >>> out.getvalue()
    'segment: update 10/50, loss 0.500, mIoU 0.250\\n'
    """

    def __init__(self, what: str, console: Console | None = None, seconds: float = 30.0) -> None:
        self.what, self.seconds = what, seconds
        self.console = Console(stderr=True) if console is None else console
        self.figures = self.scores = ""
        self._last_line = time.monotonic()
        self._bar: Progress | None = None
        if self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, TextColumn("{task.fields[figures]}"), console=self.console)
            self._task = self._bar.add_task(what, figures="")

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process, to which a training on several devices sends it, it writes lines."""
        return _as_lines, (self.what, self.seconds)

    def __enter__(self) -> FitProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: FitEvent) -> None:
        if event.scores is not None:
            self.scores = _listed({name: value for name, value in event.scores.items() if "/" not in name})
        self.figures = _listed(event.losses) or self.figures
        if self._bar is not None:
            self._bar.update(
                self._task,
                completed=event.update,
                total=event.updates,
                figures=(self.figures + self.scores).removeprefix(", "),
            )
        elif event.scores is not None or time.monotonic() - self._last_line >= self.seconds:
            self._last_line = time.monotonic()
            self.console.print(
                f"{self.what}: update {event.update}/{event.updates}{self.figures}{self.scores}",
                highlight=False,
                soft_wrap=True,
            )


def _as_lines(what: str, seconds: float) -> FitProgress:
    progress = FitProgress(what, seconds=seconds)
    progress._bar = None
    return progress


def _listed(figures: Mapping[str, float]) -> str:
    return "".join(f", {name} {value:.3f}" for name, value in figures.items())
