"""Files of lines that are only added to: which images of an artifact are there, and files as they were seen last."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from advcam.errors import DataError
from advcam.io.files import contents_digest, remove, unwritable, write_text


class Line(msgspec.Struct, omit_defaults=True):
    """An image's file in a ledger: the key it was made with, None where that no longer counts, and its size."""

    id: str
    key: str | None
    size: int = 0
    data: str = ""
    """The data set's place when it was made."""


class Ledger:
    """Which images of an artifact are there, with which keys.

    A file of lines that is only added to, so that a kill loses at most the last line. A part of the work (``part``, a
    name) adds to a file of its own beside it, since parts run at the same time; who works on all takes those over.
    """

    def __init__(self, path: Path, part: str | None = None) -> None:
        self.path = path
        self.part = part
        self._lines: dict[str, Line] | None = None

    @property
    def lines(self) -> dict[str, Line]:
        """By image, the last one of each."""
        if self._lines is None:
            self._lines = {line.id: line for line in all_lines(self.path, Line)}
            self._lines = {image: line for image, line in self._lines.items() if line.key is not None}
        return self._lines

    def key(self, image: str) -> str | None:
        line = self.lines.get(image)
        return None if line is None else line.key

    def fresh(self, image: str, key: str | None, file: Path) -> bool:
        """Whether the image's file was made with this key, and is whole."""
        line = self.lines.get(image)
        if line is None or line.key != key:
            return False
        try:
            return file.stat().st_size == line.size
        except OSError:
            return False

    def note(self, lines: Iterable[Line]) -> None:
        """Add what was made."""
        listed = list(lines)
        if not listed:
            return
        for line in listed:
            if line.key is None:
                self.lines.pop(line.id, None)
            else:
                self.lines[line.id] = line
        if self.part is None:
            self.gather()
        self._add(self.path if self.part is None else of_parts(self.path) / f"{self.part}.jsonl", listed)

    def _add(self, path: Path, lines: Iterable[Line]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                # A line that a kill cut short must not take the next one with it.
                file.write(b"\n" * (file.tell() > 0) + b"\n".join(map(msgspec.json.encode, lines)))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise unwritable(path, error) from error

    def gather(self) -> None:
        """Take over what parts noted; for who has the run folder alone."""
        if noted := self.of_parts():
            self._add(self.path, noted)
        for path in part_files(self.path):
            remove(path)

    def of_parts(self) -> list[Line]:
        """What parts noted and nobody has taken over yet."""
        return [line for path in part_files(self.path) for line in read_lines(path, Line)]

    def forget(self, images: Iterable[str]) -> None:
        """Say of images, before their files are replaced, that these no longer count."""
        known = [Line(image, None) for image in images if image in self.lines]
        if known:
            self.note(known)

    def of(self, images: Iterable[str]) -> dict[str, str]:
        """The keys of some images, empty for those that are not there."""
        return {image: self.key(image) or "" for image in images}

    def renew(self, keys: Mapping[str, str]) -> None:
        """Say of these images, and of no others, that they are there."""
        self._lines = {image: Line(image, key) for image, key in keys.items()}
        write_text(self.path, b"".join(msgspec.json.encode(line) + b"\n" for line in self._lines.values()).decode())


def of_parts(path: Path) -> Path:
    """The folder in which the parts of a stage keep what the file at ``path`` has of the whole."""
    return path.with_suffix(".parts")


def part_files(path: Path) -> list[Path]:
    """What parts wrote beside a file of lines, the oldest first."""
    return sorted(of_parts(path).glob("*.jsonl"), key=lambda file: file.stat().st_mtime_ns)


def all_lines(path: Path, kind: type) -> Iterable[Any]:
    """The lines of a file, and then those of parts."""
    for file in (path, *part_files(path)):
        yield from read_lines(file, kind)


class Seen(msgspec.Struct, omit_defaults=True):
    """A file of the data set as it was seen last: size, time, content and, of a picture, height and width."""

    id: str
    size: int
    time: int
    content: str = ""
    shape: tuple[int, int] | None = None


class Fingerprints:
    """Contents and sizes of pictures, read again only where a file's length or time differ from those known."""

    def __init__(self, path: Path, part: str | None = None) -> None:
        self.path = path
        self.part = part
        self._known: dict[str, Seen] | None = None
        self._new: set[str] = set()

    @property
    def known(self) -> dict[str, Seen]:
        if self._known is None:
            self._known = {line.id: line for line in all_lines(self.path, Seen)}
            self._new |= {line.id for line in read_lines(self._own, Seen)} if self.part else set()
        return self._known

    def _seen(self, name: str, path: Path) -> Seen:
        """What is known of a file as it is now; OSError where it is not there."""
        state, seen = path.stat(), self.known.get(name)
        if seen is None or (seen.size, seen.time) != (state.st_size, state.st_mtime_ns):
            seen = Seen(name, state.st_size, state.st_mtime_ns)
        return seen

    def _keep(self, seen: Seen) -> None:
        self.known[seen.id] = seen
        self._new.add(seen.id)

    def of(self, files: Mapping[str, Path]) -> dict[str, str]:
        """The content of each file, as a hash; empty for one that is not there.

        New ones are kept for the next time once ``keep`` is called.
        """
        found: dict[str, str] = {}
        unknown: list[tuple[Seen, Path]] = []
        for name, path in files.items():
            try:
                seen = self._seen(name, path)
            except OSError:
                found[name] = ""
                continue
            found[name] = seen.content
            if not seen.content:
                unknown.append((seen, path))
        with ThreadPoolExecutor(8) as pool:
            for (seen, _), content in zip(unknown, pool.map(lambda one: _content(one[1]), unknown), strict=True):
                found[seen.id] = content
                self._keep(msgspec.structs.replace(seen, content=content))
        return {name: found[name] for name in files}

    def shape(self, name: str, path: Path, measure: Callable[[Path], tuple[int, int]]) -> tuple[int, int]:
        """Height and width of a picture, measured where they are not known."""
        try:
            seen = self._seen(name, path)
        except OSError:
            return measure(path)
        if seen.shape is None:
            seen = msgspec.structs.replace(seen, shape=measure(path))
            self._keep(seen)
        assert seen.shape is not None
        return seen.shape

    def keep(self, *, gather: bool = False) -> None:
        """Write what is known, so that the next command need not read the files again; ``gather`` takes over what
        parts kept, for who has the run folder alone."""
        gather = gather and bool(part_files(self.path)) and bool(self.known)
        if not self._new and not gather:
            return
        names, path = (self.known, self.path) if self.part is None else (self._new, self._own)
        write_text(path, b"".join(msgspec.json.encode(self.known[name]) + b"\n" for name in names).decode())
        if self.part is None:
            self._new.clear()
        if gather:
            remove(of_parts(self.path))

    @property
    def _own(self) -> Path:
        return of_parts(self.path) / f"{self.part}.jsonl"


def _content(path: Path) -> str:
    try:
        return contents_digest({"": path})
    except DataError:
        return ""


def read_lines(path: Path, kind: type) -> Iterable[Any]:
    """The whole lines of a file; a line that a kill cut short, or that is damaged, does not count."""
    try:
        text = path.read_bytes()
    except OSError:
        return
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)
    for line in text.split(b"\n"):
        if line:
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError:
                continue
