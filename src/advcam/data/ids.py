"""Image ids, and the names in label files that must stay inside the data folder."""

from __future__ import annotations

import hashlib
import posixpath
import re
import unicodedata

from advcam.data.images import IMAGE_SUFFIXES

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")


class BadEntry(Exception):
    """An entry of a label file that cannot be used; the message says what is wrong with it and how to mend it."""


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


def fraction(image_id: str) -> float:
    """A number in [0, 1) that belongs to an id for good, whatever else is in the data set."""
    return int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:4], "big") / 2**32
