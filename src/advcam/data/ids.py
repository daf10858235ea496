"""Image ids, and the names in label files that must stay inside the data folder."""

from __future__ import annotations

import hashlib
import posixpath
import re
import unicodedata
from pathlib import Path

from advcam.data.images import IMAGE_SUFFIXES

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")


class BadEntry(Exception):
    """An entry of a label file that cannot be used; the message says what is wrong with it and how to fix it."""


def image_id(relative: str) -> str:
    """The id of an image: its path relative to the data root, without the suffix of an image file.

    Accented letters become single characters, as most systems write them; macOS takes them apart.

    >>> image_id("cats/my cat.v2.JPG"), image_id("scan.0042")
    ('cats/my cat.v2', 'scan.0042')
    """
    stem, suffix = posixpath.splitext(relative)
    return composed(stem if suffix.lower() in IMAGE_SUFFIXES else relative)


def composed(name: str) -> str:
    """The name with each accented letter as one character (Unicode's form NFC)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def has_control_characters(name: str) -> bool:
    """True for line breaks, tabs and the like, which no list of ids could hold."""
    return _CONTROL_CHARACTER.search(name) is not None


def inside(name: str) -> str:
    """A name from a label file as a plain relative path, since ids name the outputs of a run.

    Raises:
        BadEntry: the name is empty or absolute, climbs with ``..``, or holds control characters.

    >>> inside("./cats//a.jpg")
    'cats/a.jpg'
    """
    if not name.strip():
        raise BadEntry("names no image: write the file's name there, or remove the line")
    if has_control_characters(name):
        raise BadEntry(f"names {name!r}, which holds control characters: rename the file")
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[/\\]", name):
        raise BadEntry(f"names {name!r}, an absolute path: write the path relative to the data folder")
    if ".." in re.split(r"[/\\]", name):
        raise BadEntry(f"names {name!r}, which leads out of the data folder: write a path without '..'")
    return posixpath.normpath(name)


def spellings(name: str) -> tuple[str, ...]:
    """The relative paths that a name in a label file may stand for, the likeliest first.

    As it is; with the other system's slashes; and each with accented letters composed, and taken apart.

    Raises:
        BadEntry: as ``inside``.

    >>> spellings(r".\\images\\a.png")
    ('.\\\\images\\\\a.png', 'images/a.png')
    """
    plain = inside(name)
    found = [plain]
    if "\\" in plain:
        found.append(posixpath.normpath(plain.replace("\\", "/")))
    if not name.isascii():
        found += [unicodedata.normalize(form, one) for one in tuple(found) for form in ("NFC", "NFD")]
    return tuple(dict.fromkeys(found))


def is_file(path: Path) -> bool:
    """Whether there is such a file; also for names that no file system would take, where ``Path.is_file`` raises."""
    try:
        return path.is_file()
    except OSError:
        return False


def existing(root: Path, name: str, what: str = "image") -> str:
    """The relative path of the file in ``root`` that a label file calls ``name``.

    Raises:
        BadEntry: the name leads out of the folder, there is no such file, or it is empty.
    """
    for candidate in spellings(name):
        path = root / candidate
        if is_file(path):
            if path.stat().st_size == 0:
                raise BadEntry(f"names {name!r}, but the file is empty: replace it, or remove the entry")
            return candidate
    named = repr(name) if what == "image" else f"the {what} {name!r}"
    raise BadEntry(
        f"names {named}, but there is no such {what} in {root}: correct the name, put the {what} there, or remove the "
        "entry"
    )


def fraction(image_id: str) -> float:
    """A number in [0, 1) that belongs to an id for good, whatever else is in the data set."""
    return int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:4], "big") / 2**32
