"""Several processes that a training starts: signals go to them, and what ends them comes back as what it is."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import lightning.pytorch as pl
from torch.multiprocessing.spawn import ProcessException

from advcam import errors
from advcam.training.recorder import Interrupted

# The last line of a process's traceback.
_USER_ERROR = re.compile(r"^advcam\.errors\.(\w+): (.*)\Z", re.MULTILINE | re.DOTALL)


@contextmanager
def as_one(trainer: pl.Trainer) -> Iterator[None]:
    """Pass Ctrl-C and polite kills on to the processes of a trainer, and raise their errors as one's own.

    Raises:
        Interrupted: a signal came, and every process ended after saving the state.
        UserError: of one of the processes.
    """
    noted: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        noted.append(number)
        # A terminal sends Ctrl-C to all processes, and its second one does not wait for the end of an update.
        trainer.strategy.launcher.kill(signal.SIGTERM)  # type: ignore[union-attr]

    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except ProcessException as error:
        if noted:
            raise Interrupted(noted[0]) from None
        found = _USER_ERROR.search(str(error).rstrip())
        if found is None:
            raise
        raise getattr(errors, found[1])(found[2]) from None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
