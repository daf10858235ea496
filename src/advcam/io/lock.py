"""A lock on a folder, which a dead process does not keep."""

from __future__ import annotations

import errno
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from advcam.errors import RunError
from advcam.io.files import read_json, unwritable
from advcam.io.progress import say

LOCK_FILE = "run.lock"
# What a file system says that knows no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def locked(root: Path, name: str = LOCK_FILE, *, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Hold a run folder, as long as this process lives at most.

    Args:
        root: the folder.
        name: of the lock in it.
        shared: with others that hold it so.
        wait: until it is free.

    Raises:
        RunError: another command holds it; the sentence says which, and since when.
    """
    try:
        import fcntl
    except ImportError:  # A system without it has no such locks.
        yield
        return
    path = root / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b", buffering=0)
    except OSError as error:
        raise unwritable(path, error) from error
    with file:
        try:
            # Belongs to the process: neither a child nor a dead one keeps it.
            fcntl.lockf(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            if error.errno in _NO_LOCKS:
                say(f"{root} is on a file system without locks: let no two commands but parts work on it at a time")
                yield
                return
            raise RunError(f"{root} is in use by {_holder(path)}: wait for it, or choose another --out") from None
        # A full disk is told of by what has more to write.
        with suppress(OSError):
            file.truncate(0)
            file.write(msgspec.json.encode({"command": command(), "process": str(os.getpid()), "since": now()}))
        yield


def _holder(path: Path) -> str:
    try:
        found = read_json(path, dict[str, str])
        return f"`{found['command']}` (process {found['process']}, since {found['since']})"
    except (RunError, KeyError):
        return "another command"


def command() -> str:
    """The command line of this process."""
    words = sys.argv if Path(sys.argv[0]).name != "__main__.py" else ["advcam", *sys.argv[1:]]
    return " ".join([Path(words[0]).name, *map(shlex.quote, words[1:])])


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
