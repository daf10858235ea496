"""Processes that another one started: they end when it does, however that ends."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading


def begin(work: bytes, *inherited: object) -> None:
    """What a started process does first: nothing heavy is imported before it knows when to end.

    Args:
        work: a pickled function, whose modules are imported as it is unpickled.
        inherited: what it takes, such as locks, which only the starting of a process can hand on.
    """
    end_with_leader()
    pickle.loads(work)(*inherited)


def end_with_leader() -> None:
    """Leave Ctrl-C, which a terminal sends to all, to the process that started this one; end when that one ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    leader = multiprocessing.parent_process()
    assert leader is not None
    leader.join()
    os._exit(1)
