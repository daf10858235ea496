"""Pictures that are no files: at a URL of fsspec, or a piece of a tar file. They are read as files are."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

_MODE = 0o100644


class Stored(type(Path())):  # type: ignore[misc]
    """A picture in a store, where a path stands for a file: what reads a path reads it. Made by ``stored``."""

    url = ""
    """Of the file that holds it: a URL, or a path."""
    start = 0
    length: int | None = None
    """The bytes of that file that are its own; all of them unless told."""

    def __reduce__(self) -> Any:
        return stored, (self.url, self.start, self.length, self.label)

    label = ""

    @property
    def remote(self) -> bool:
        return "://" in self.url

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        size, time = _state(self.url)
        own = size if self.length is None else self.length
        return os.stat_result((_MODE, 0, 0, 1, 0, 0, own, 0, 0, 0), {"st_mtime_ns": time})

    def exists(self, **_: Any) -> bool:
        try:
            self.stat()
        except OSError:
            return False
        return True

    def is_file(self, **_: Any) -> bool:
        return self.exists()

    def open(self, mode: str = "rb", buffering: int = 2**16, *_: Any, **__: Any) -> Any:
        """For reading bytes; nothing is written to a store."""
        if mode != "rb":
            raise OSError(f"{self} is in a store, which is only read")
        whole: Any
        if self.remote:
            import fsspec

            whole = fsspec.open(self.url, "rb").open()
        else:
            whole = io.FileIO(self.url)
        return io.BufferedReader(_Piece(whole, self.start, self.stat().st_size), buffering)

    def read_bytes(self) -> bytes:
        with self.open() as file:
            return bytes(file.read())


def stored(url: str | Path, start: int = 0, length: int | None = None, label: str = "") -> Path:
    """The picture that is at a URL, or at some bytes of a file; ``label`` is its name in that file."""
    path = Stored(f"{url}/{label}" if label else str(url))
    path.url, path.start, path.length, path.label = str(url), start, length, label
    return path


class _Piece(io.RawIOBase):
    """Some bytes of an open file as a file of their own."""

    def __init__(self, whole: Any, start: int, length: int) -> None:
        self.whole, self.start, self.length, self.place = whole, start, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.place = max(0, offset + (0, self.place, self.length)[whence])
        return self.place

    def readinto(self, buffer: Any) -> int:
        self.whole.seek(self.start + self.place)
        data = self.whole.read(max(0, min(len(buffer), self.length - self.place)))
        buffer[: len(data)] = data
        self.place += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self.whole.close()
        super().close()


def _state(url: str) -> tuple[int, int]:
    """Size and time of a file; of a store a hash of what it tells versions apart by, asked for once."""
    if "://" in url:
        return _remote_state(url)
    state = Path(url).stat()
    return state.st_size, state.st_mtime_ns


@lru_cache(maxsize=2**16)
def _remote_state(url: str) -> tuple[int, int]:
    import fsspec

    system, path = fsspec.core.url_to_fs(url)
    info = system.info(path)
    versions = ("mtime", "LastModified", "last_modified", "updated", "ETag", "etag", "created")
    found = next((info[name] for name in versions if info.get(name) is not None), None)
    return int(info["size"]), 0 if found is None else _number(str(found))


def _number(text: str) -> int:
    import hashlib

    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


# -- tar files -------------------------------------------------------------------------------------------------------


def members(file: Any) -> Iterator[tuple[str, int, int]]:
    """Name, first byte and length of the files in a tar file, from its headers alone.

    Plain, POSIX (pax) and GNU headers are read, as ``tar`` and webdataset write them.

    Raises:
        ValueError: it is no tar file, or cut short.
    """
    place, long = 0, ""
    pax: dict[str, str] = {}
    size = file.seek(0, os.SEEK_END)
    while place + 512 <= size:
        file.seek(place)
        header = file.read(512)
        if not header.strip(b"\0"):
            return
        if int(header[148:156].strip(b" \0") or b"0", 8) != sum(header[:148]) + 256 + sum(header[156:512]):
            raise ValueError(f"there is no header of a tar file at byte {place}")
        field = header[124:136]
        length = int.from_bytes(field[1:], "big") if field[0] & 0x80 else int(field.strip(b" \0") or b"0", 8)
        length = int(pax.get("size", length))
        kind, start = header[156:157], place + 512
        if start + length > size:
            raise ValueError(f"it is cut short: byte {start + length} is missing")
        if kind == b"L":
            long = file.read(length).rstrip(b"\0").decode("utf-8", "surrogateescape")
        elif kind == b"x":
            pax = _pax(file.read(length))
        elif kind in (b"0", b"\0", b"7"):
            prefix = header[345:500].split(b"\0")[0] if header[257:263] == b"ustar\0" else b""
            short = (prefix + b"/" * bool(prefix) + header[:100].split(b"\0")[0]).decode("utf-8", "surrogateescape")
            yield pax.get("path") or long or short, start, length
        if kind not in (b"L", b"x"):
            long, pax = "", {}
        place = start + (length + 511) // 512 * 512


def _pax(data: bytes) -> dict[str, str]:
    found = {}
    while data:
        count = int(data.split(b" ", 1)[0])
        name, _, value = data[:count].rstrip(b"\n").partition(b" ")[2].partition(b"=")
        found[name.decode()] = value.decode("utf-8", "surrogateescape")
        data = data[count:]
    return found
