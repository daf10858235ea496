"""Ctrl-C and a polite kill as a flag that is read between two updates."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Signals:
    """The first signal that came, 0 before; ``then`` is called at each one."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.number, self._then = 0, then

    def note(self, number: int, frame: FrameType | None) -> None:
        # A second Ctrl-C does not wait for the update to end; the last saved state stays.
        if self.number and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = self.number or number
        self._then()


@contextmanager
def noted_signals(then: Callable[[], None] = lambda: None) -> Iterator[Signals]:
    """Take note of SIGINT and SIGTERM inside, where this is the main thread; they are as before afterwards."""
    signals = Signals(then)
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.signal(number, signals.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def raise_stop(number: int) -> None:
    """KeyboardInterrupt after SIGINT, SystemExit after another signal, nothing for 0."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    if number:
        raise SystemExit(128 + number)
