"""How files are written: under a temporary name, then renamed, so that a file is whole or it is not there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from advcam.errors import DataError, RunError

# Temporary names start with a dot and end so; what a killed process leaves behind is recognised by it.
TEMPORARY = ".advcam-tmp"

_MENDS = {
    errno.ENOSPC: "the disk is full: free some space, or choose another folder",
    errno.EDQUOT: "the disk quota is used up: free some space, or choose another folder",
    errno.EACCES: "no permission to write there: choose another folder, or change its permissions",
    errno.EPERM: "no permission to write there: choose another folder, or change its permissions",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.ENOTDIR: "a part of the path is a file: choose another folder",
    errno.EEXIST: "a file is in the way of a folder: remove it, or choose another folder",
    errno.ENAMETOOLONG: "the name is too long for the file system: shorten it",
}


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name when the block ends well, and goes when it does not.

    Raises:
        RunError: the file or its folder cannot be written; the sentence says why and what to do.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if temporary.exists():
            temporary.unlink()


def unwritable(path: Path, error: OSError) -> RunError:
    """The sentence for a file that could not be written."""
    mend = _MENDS.get(error.errno or 0, f"{error.strerror or error}: choose another folder")
    return RunError(f"{path} cannot be written, {mend}")


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file with Unix line ends in one go."""
    with writing(path) as temporary:
        temporary.write_bytes(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON in one go. NaN is refused: JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; RunError where it is not whole."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path} does not exist: is {path.parent} the folder of a run?") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is not whole JSON ({error}): restore it, or start again in another folder") from error


def contents_digest(files: Mapping[str, Path]) -> str:
    """A hash over the names and the bytes of files: what tells one state of them from another.

    Raises:
        DataError: a file cannot be read.
    """
    found = hashlib.sha256()
    for name, path in sorted(files.items()):
        try:
            found.update(f"{name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                for block in iter(lambda: file.read(2**20), b""):
                    found.update(block)
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}): mend its permissions, or restore it") from error
    return found.hexdigest()[:16]


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files of killed processes in a folder and below it."""
    for leftover in folder.rglob(f".*{TEMPORARY}"):
        leftover.unlink(missing_ok=True)
