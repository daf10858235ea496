"""The image files of a folder, found by name, with or without extension."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from advcam.data.ids import BadEntry, composed, has_control_characters, image_id, inside
from advcam.data.images import IMAGE_SUFFIXES
from advcam.data.record import Problem

# Written into every run folder: its pictures are results, not data.
_RUN_MARKS = ("run.yaml", "manifest.json")
_NOT_DATA = frozenset(("__MACOSX", "__pycache__"))


@dataclass(frozen=True)
class Listing:
    """The image files under ``root``: relative paths in order, those that are empty, and those that cannot be used.

    ``files`` and ``ids`` are keyed by names with composed letters.
    """

    root: Path
    files: dict[str, str]
    ids: dict[str, tuple[str, ...]]
    empty: frozenset[str]
    problems: tuple[Problem, ...]

    def find(self, name: str) -> str:
        """The relative path of the file that a label file calls ``name``.

        Raises:
            BadEntry: there is no such file; several have this name with different extensions; or the name leads out of
                the folder.
        """
        wanted = composed(inside(name))
        for candidate in (wanted, wanted.replace("\\", "/")):
            if candidate in self.files:
                return self.files[candidate]
            if len(matches := self.ids.get(candidate, ())) > 1:
                raise BadEntry(f"names {name!r}, which is the id of {' and '.join(matches)}: rename one of them")
            if matches:
                return matches[0]
            if (self.root / candidate).is_file():
                return candidate
        raise BadEntry(
            f"names {name!r}, but there is no such image in {self.root}: correct the name, put the image there, or "
            "remove the line"
        )


def list_images(root: Path, without: Collection[str] = (), suffixes: Collection[str] = IMAGE_SUFFIXES) -> Listing:
    """List the image files of a folder and its sub-folders, without opening any of them.

    Hidden files, run folders of advcam and the folders of ``root`` named in ``without`` are passed over. Links are
    followed, except those that lead to a folder they lie in.
    """
    files: list[str] = []
    empty: set[str] = set()
    problems: list[Problem] = []
    waiting: list[tuple[str, tuple[str, ...]]] = [("", (os.path.realpath(root),))]
    while waiting:
        prefix, parents = waiting.pop()
        for entry in _entries(root / prefix, problems):
            relative = prefix + entry.name
            if entry.is_dir():
                if (
                    relative in without
                    or entry.name in _NOT_DATA
                    or any(Path(entry.path, mark).exists() for mark in _RUN_MARKS)
                ):
                    continue
                real = os.path.realpath(entry.path)
                if not any(Path(parent).is_relative_to(real) for parent in parents):
                    waiting.append((relative + "/", (*parents, real)))
            elif posixpath.splitext(entry.name)[1].lower() in suffixes and entry.is_file():
                if fault := _fault(relative):
                    problems.append(Problem(ascii(relative), fault))
                    continue
                files.append(relative)
                if entry.stat().st_size == 0:
                    empty.add(relative)
    files.sort()
    ids: dict[str, tuple[str, ...]] = {}
    for relative in files:
        key = image_id(relative)
        ids[key] = (*ids.get(key, ()), relative)
    return Listing(root, {composed(name): name for name in files}, ids, frozenset(empty), tuple(problems))


def _entries(folder: Path, problems: list[Problem]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".") and _leads_somewhere(entry)]
    except PermissionError:
        problems.append(Problem(str(folder), "the folder cannot be read: allow it, or move it away"))
        return []


def _leads_somewhere(entry: os.DirEntry[str]) -> bool:
    """False for links to nothing and for links to themselves."""
    try:
        entry.stat()
    except OSError:
        return False
    return True


def _fault(name: str) -> str | None:
    """Why a file's name cannot be an id."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "the name is not valid UTF-8: rename the file"
    return "the name holds control characters: rename the file" if has_control_characters(name) else None
