"""Progress of a stage: a bar with the time left on a terminal, plain lines elsewhere. Both on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

# Seconds between two plain lines.
LINE_INTERVAL = 15.0


class Advance(Protocol):
    def __call__(self, count: int = 1) -> None: ...


@contextmanager
def progress(what: str, total: int, done: int = 0) -> Iterator[Advance]:
    """Show how far ``what`` is; the block calls what it is given once per item (or with a count)."""
    if sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty():
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
            task = bar.add_task(what, total=total, completed=done)
            yield lambda count=1: bar.update(task, advance=count)
        return
    lines = _Lines(what, total, done)
    yield lines.advance
    lines.end()


@contextmanager
def counted(what: str) -> Iterator[Callable[[int, int], None]]:
    """Progress of work that tells by itself how many items are done, and how many there are."""
    with ExitStack() as stack:
        advance: list[Advance] = []
        shown = 0

        def to(done: int, total: int) -> None:
            nonlocal shown
            if not advance:
                advance.append(stack.enter_context(progress(what, total)))
            advance[0](done - shown)
            shown = done

        yield to


class _Lines:
    """The plain form: a line every quarter of a minute and one at the end."""

    def __init__(self, what: str, total: int, done: int) -> None:
        self.what, self.total, self.done, self.skipped = what, total, done, done
        self.started = self.shown = time.monotonic()

    def advance(self, count: int = 1) -> None:
        self.done += count
        if time.monotonic() - self.shown >= LINE_INTERVAL and self.done < self.total:
            self.shown = time.monotonic()
            rate = (self.done - self.skipped) / (self.shown - self.started)
            left = (self.total - self.done) / rate if rate else 0
            say(f"{self.what}: {self.done}/{self.total}, about {duration(left)} left")

    def end(self) -> None:
        say(f"{self.what}: {self.done}/{self.total} in {duration(time.monotonic() - self.started)}")


def say(line: str) -> None:
    """One line on standard error, if that can take it: a closed or full one never fails a run."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def show(text: str) -> None:
    """Text that was asked for, on standard output; likewise."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def duration(seconds: float) -> str:
    """Seconds in words short enough for a line.

    >>> duration(7.4), duration(125), duration(7300)
    ('7.4 s', '2 min 5 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
