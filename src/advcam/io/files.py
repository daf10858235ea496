"""How files are written: under a temporary name, synced, then renamed, so that a file is whole or it is not there."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, overload

import msgspec

from advcam.errors import DataError, RunError

Kind = TypeVar("Kind")

# Temporary names start with a dot and end so; what a killed process leaves behind is recognised by it.
TEMPORARY = ".advcam-tmp"
# A cell that begins with one of these is a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

_FIXES = {
    errno.ENOSPC: "the disk is full: free some space, or choose another folder",
    errno.EDQUOT: "the disk quota is used up: free some space, or choose another folder",
    errno.EACCES: "no permission to write there: choose another folder, or change its permissions",
    errno.EPERM: "no permission to write there: choose another folder, or change its permissions",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.ENOTDIR: "a part of the path is a file: choose another folder",
    errno.EEXIST: "a file is in the way of a folder: remove it, or choose another folder",
    errno.EISDIR: "a folder is in the way of a file: remove it, or choose another folder",
    errno.ENAMETOOLONG: "the name is too long for the file system: shorten it",
}


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name when the block ends well, and goes when it does not.

    The file and its folder are synced: after a power cut it is whole or it is not there.

    Raises:
        RunError: the file or its folder cannot be written; the sentence says why and what to do.
    """
    temporary = temporary_for(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def temporary_for(path: Path) -> Path:
    """A name beside a path that ``remove_leftovers`` knows; short, since names may be as long as a file system allows.

    >>> len(temporary_for(Path("x" * 255)).name) < 60
    True
    """
    return path.with_name(f".{hashlib.sha256(path.name.encode()).hexdigest()[:12]}.{os.getpid()}{TEMPORARY}")


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk before anything relies on them."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some file systems sync no folders.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)


def unwritable(path: Path, error: OSError) -> RunError:
    """The sentence for a file that could not be written."""
    fix = _FIXES.get(error.errno or 0, f"{error.strerror or error}: choose another folder")
    return RunError(f"{path} cannot be written, {fix}")


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file with Unix line ends in one go."""
    with writing(path) as temporary:
        temporary.write_bytes(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON in one go. NaN is refused: JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_table(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as CSV in one go, the names of the columns first. See ``cell``."""
    text, lines = io.StringIO(newline=""), []
    # Cells with one of the characters of this line end are quoted; a lone \r ends a row for many readers.
    writer = csv.writer(text, lineterminator="\r\n")
    for row in rows:
        text.seek(0)
        text.truncate()
        writer.writerow([cell(value) for value in row])
        lines.append(text.getvalue()[:-2] + "\n")
    write_text(path, "".join(lines))


def read_table(path: Path, columns: Iterable[str] = ()) -> list[dict[str, str]]:
    """The rows of a table that ``write_table`` wrote.

    Raises:
        ValueError: it lacks a column or a cell, is not UTF-8, or is no table; the sentence is the caller's.
        OSError: it cannot be read.
    """
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        try:
            rows = list(reader)
        except csv.Error as error:
            raise ValueError(str(error)) from error
    if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
        raise ValueError(f"there is no column {missing[0]}")
    if any(None in row or None in row.values() for row in rows):
        raise ValueError("a row has more cells than columns, or fewer")
    return [{uncell(name): uncell(value) for name, value in row.items()} for row in rows]


def cell(value: Any) -> Any:
    """A value as a table takes it: text that a spreadsheet would run as a formula is quoted by an apostrophe.

    >>> cell("=cmd"), cell("cat"), cell(-1.5), cell("'=cmd")
    ("'=cmd", 'cat', -1.5, "'=cmd")
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def uncell(value: str) -> str:
    """What ``cell`` was given.

    >>> uncell("'=cmd"), uncell("'tis")
    ('=cmd', "'tis")
    """
    return value[1:] if value.startswith("'") and value[1:].startswith(_FORMULA) else value


@overload
def read_json(path: Path) -> Any: ...
@overload
def read_json(path: Path, kind: type[Kind], fix: str = ...) -> Kind: ...
def read_json(path: Path, kind: Any = Any, fix: str = "restore it, or delete it and run the same command again") -> Any:
    """Read a JSON file that has the fields of a type; RunError, which ends in ``fix``, where it has not."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        raise RunError(f"{path} does not exist: is {path.parent} the folder of a run?") from None
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}): fix its permissions, or restore it") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RunError(f"{path} is not whole JSON, or not what it should be ({error}): {fix}") from error


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
            raise DataError(f"{path} cannot be read ({error.strerror}): fix its permissions, or restore it") from error
    return found.hexdigest()[:16]


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it; a link goes, and what it leads to stays.

    Raises:
        RunError: it cannot be deleted.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files and folders of killed processes in a folder and below it."""
    for leftover in list(folder.rglob(f".*{TEMPORARY}")):
        with suppress(RunError):
            remove(leftover)


def found_from(place: str, name: str) -> str:
    """A path as it is, or, where nothing is there, from the working folder in which it was given.

    >>> found_from("/", "tmp"), found_from("/nowhere", "s3://photos")
    ('/tmp', 's3://photos')
    """
    return name if Path(name).exists() or not (Path(place) / name).exists() else str(Path(place) / name)
