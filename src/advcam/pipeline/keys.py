"""Keys: what tells one state of an artifact from another, and the ledgers that keep them by image.

The facts of an artifact are all that its numbers depend on: settings, digests of what it is made from, of weights and
of the data set. Its key is a hash over them. An image's key joins the artifact's with what is the image's own: its
picture, its labels, the keys of its maps.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from advcam.errors import DataError
from advcam.io.files import contents_digest, unwritable, write_text

if TYPE_CHECKING:
    from advcam.pipeline.config import RunConfig
    from advcam.pipeline.run import Run

Facts = dict[str, Any]


@dataclass(frozen=True)
class Artifact:
    """A result in the run folder that has a key."""

    name: str
    """Its place: "classifier", "advcam/maps", ..."""
    inputs: tuple[str, ...]
    """The artifacts that it is made from, where they are there."""
    facts: Callable[[Run], Facts] | None
    """All that its numbers depend on beside the images; None where it shows all that is there, and is made anew each
    time."""
    outputs: tuple[str, ...]
    """Files and folders of the run folder that go with it."""
    per_image: Callable[[Run], dict[str, str]] | None = None
    """The key that the file of each wanted image must have, where there is a file for each."""


@dataclass(frozen=True)
class Steps:
    """How a stage works; the module of each offers one."""

    make: Callable[[Run], None]
    artifacts: Callable[[RunConfig], Iterator[Artifact]]
    """What it makes with these settings; nothing where they do not ask for it."""
    check: Callable[[RunConfig], None] = lambda config: None
    """Refuses, before the first stage begins, settings that this stage would refuse after hours of others."""
    check_data: Callable[[Run], None] = lambda run: None
    """Refuses a data set that this stage would refuse, likewise."""


def plain(value: Any) -> Any:
    """Settings as YAML has them: dataclasses as objects, tuples as lists, paths as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def key_of(facts: Any) -> str:
    """A hash over facts, whatever their order, and whether a whole number came as an integer or, from YAML, as none.

    >>> key_of({"a": 1, "b": (2,)}) == key_of({"b": [2.0], "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(_whole(plain(facts)), sort_keys=True).encode()).hexdigest()[:16]


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """How facts differ, a few words for every leaf.

    >>> differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}})
    ['a.b 1 there, 3 now']
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for key in sorted(old.keys() | new.keys()):
            found += differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
        return found
    return [] if old == new else [f"{name} {old!r} there, {new!r} now"]


class Line(msgspec.Struct, omit_defaults=True):
    """An image's file in a ledger: the key it was made with, None where that no longer counts, and its size."""

    id: str
    key: str | None
    size: int = 0
    data: str = ""
    """The data set's place when it was made."""


class Ledger:
    """Which images of an artifact are there, with which keys.

    A file of lines that is only added to, so that a kill loses at most the last line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[str, Line] | None = None

    @property
    def lines(self) -> dict[str, Line]:
        """By image, the last one of each."""
        if self._lines is None:
            self._lines = {line.id: line for line in read_lines(self.path, Line)}
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
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(b"".join(msgspec.json.encode(line) + b"\n" for line in listed))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise unwritable(self.path, error) from error

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


class Seen(msgspec.Struct):
    """A file of the data set as it was seen last: size, time and content."""

    id: str
    size: int
    time: int
    content: str


class Fingerprints:
    """Contents of files of the data set, read again only where size or time differ from those known."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, Seen] | None = None

    @property
    def known(self) -> dict[str, Seen]:
        if self._known is None:
            self._known = {line.id: line for line in read_lines(self.path, Seen)}
        return self._known

    def of(self, files: Mapping[str, Path]) -> dict[str, str]:
        """The content of each file, as a hash; empty for one that is not there.

        New ones are kept for the next time once ``keep`` is called.
        """
        found: dict[str, str] = {}
        unknown: list[tuple[str, Path, os.stat_result]] = []
        for name, path in files.items():
            try:
                state = path.stat()
            except OSError:
                found[name] = ""
                continue
            seen = self.known.get(name)
            if seen is not None and (seen.size, seen.time) == (state.st_size, state.st_mtime_ns):
                found[name] = seen.content
            else:
                unknown.append((name, path, state))
        with ThreadPoolExecutor(8) as pool:
            for (name, _, state), content in zip(unknown, pool.map(lambda one: _content(one[1]), unknown), strict=True):
                found[name] = content
                self.known[name] = Seen(name, state.st_size, state.st_mtime_ns, content)
                self._changed = True
        return {name: found[name] for name in files}

    _changed = False

    def keep(self) -> None:
        """Write what is known, so that the next command need not read the files again."""
        if self._changed:
            write_text(self.path, b"".join(msgspec.json.encode(seen) + b"\n" for seen in self.known.values()).decode())
            self._changed = False


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
