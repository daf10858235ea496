"""The image files of a folder, found by name, with or without extension."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from advcam.data.ids import BadEntry, composed, has_control_characters, image_id, is_file, spellings
from advcam.data.images import IMAGE_SUFFIXES
from advcam.data.record import Problem

# What archives and Python leave beside data.
_NOT_DATA = frozenset(("__MACOSX", "__pycache__"))
# Files that the run folders of advcam and the output of its predict have, with an entry that only they have.
_RESULT_MARKS = (("run.yaml", b"schema"), ("manifest.json", b'"schema"'), ("predict.json", b'"network"'))
_MARK_BYTES = 2**16
# So often one folder is listed through links: a tree of links has as many paths as one likes.
_MOST_PATHS = 4


@dataclass(frozen=True)
class Listing:
    """The image files under ``root``: relative paths in order, those that are empty, and those that cannot be used.

    ``files`` and ``ids`` are keyed by names with composed letters. ``passed_over`` are folders of results.
    """

    root: Path
    files: dict[str, str]
    ids: dict[str, tuple[str, ...]]
    empty: frozenset[str]
    problems: tuple[Problem, ...]
    passed_over: tuple[str, ...] = ()

    def find(self, name: str) -> str:
        """The relative path of the file that a label file calls ``name``.

        Raises:
            BadEntry: there is no such file; several have this name with different extensions; or the name leads out of
                the folder.
        """
        if name in self.files:
            return self.files[name]
        for spelling in spellings(name):
            candidate = composed(spelling)
            if candidate in self.files:
                return self.files[candidate]
            if len(matches := self.ids.get(candidate, ())) > 1:
                raise BadEntry(f"names {name!r}, which is the id of {' and '.join(matches)}: rename one of them")
            if matches:
                return matches[0]
            if is_file(self.root / spelling):
                return spelling
        raise BadEntry(
            f"names {name!r}, but there is no such image in {self.root}: correct the name, put the image there, or "
            "remove the line"
        )


def list_images(root: Path, without: Collection[str] = (), suffixes: Collection[str] = IMAGE_SUFFIXES) -> Listing:
    """List the image files of a folder and its sub-folders, without opening any of them.

    Hidden files, folders of results and the folders of ``root`` named in ``without`` are passed over. Links are
    followed, except those that lead to a folder they lie in; a folder that many links lead to is listed a few times.
    """
    files: list[str] = []
    empty: set[str] = set()
    problems: list[Problem] = []
    passed_over: list[str] = []
    times: Counter[str] = Counter()
    waiting: list[tuple[str, tuple[str, ...]]] = [("", (os.path.realpath(root),))]
    while waiting:
        prefix, parents = waiting.pop()
        for entry in _entries(root / prefix, problems):
            relative = prefix + entry.name
            if entry.is_dir():
                if relative in without or entry.name in _NOT_DATA:
                    continue
                if is_result(Path(entry.path)):
                    passed_over.append(relative)
                    continue
                real = os.path.realpath(entry.path)
                times[real] += 1
                if times[real] == _MOST_PATHS + 1:
                    problems.append(Problem(str(root / relative), f"links lead to {real} in many ways: remove them"))
                elif times[real] <= _MOST_PATHS and not any(_lies_in(parent, real) for parent in parents):
                    waiting.append((relative + "/", (*parents, real)))
            elif posixpath.splitext(entry.name)[1].lower() in suffixes and entry.is_file():
                if fault := _fault(relative):
                    problems.append(Problem(ascii(relative), fault))
                    continue
                files.append(relative)
                if entry.stat().st_size == 0:
                    empty.add(relative)
    files.sort()
    by_name: dict[str, str] = {}
    ids: dict[str, tuple[str, ...]] = {}
    for relative in files:
        if (first := by_name.setdefault(composed(relative), relative)) is not relative:
            message = f"the name differs from {first!a} only in how its accents are stored: rename one of them"
            problems.append(Problem(ascii(relative), message))
            continue
        key = image_id(relative)
        ids[key] = (*ids[key], relative) if key in ids else (relative,)
    return Listing(root, by_name, ids, frozenset(empty), tuple(problems), tuple(sorted(passed_over)))


def is_result(folder: Path) -> bool:
    """Whether a folder is a run folder of advcam, or what its ``predict`` wrote: its pictures are no data."""
    for name, entry in _RESULT_MARKS:
        try:
            with (folder / name).open("rb") as file:
                if entry in file.read(_MARK_BYTES):
                    return True
        except OSError:
            continue
    return False


def data_folders(path: Path) -> list[Path]:
    """The sub-folders in which data may lie: neither hidden, nor left by an archive, nor results."""
    return sorted(
        folder
        for folder in path.iterdir()
        if folder.is_dir()
        and not folder.name.startswith(".")
        and folder.name not in _NOT_DATA
        and not is_result(folder)
    )


def _lies_in(folder: str, real: str) -> bool:
    return folder == real or folder.startswith(real.rstrip("/") + "/")


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
