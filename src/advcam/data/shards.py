"""Tar files of samples, as webdataset writes them, and label tables at a URL: for stores and clusters.

A million small files are a burden to any file system; a thousand tar files of a thousand pictures each are none, and
each is read where it lies. What is remote is read by fsspec: ``s3://`` and ``gs://`` need its packages s3fs and gcsfs.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advcam.data.classes import ClassList, class_indices, is_background, known_classes
from advcam.data.ids import BadEntry, image_id, inside
from advcam.data.images import IMAGE_SUFFIXES
from advcam.data.labels import split_labels
from advcam.data.reader import chosen_split, collect, ordered
from advcam.data.record import ImageSet, Problem, Record
from advcam.data.table import SUFFIXES as TABLE_SUFFIXES
from advcam.data.table import read_table
from advcam.errors import DataError
from advcam.io.stored import members, stored

# Endings of what belongs to a sample beside its picture; those of masks before those of pictures.
MASKS = ("mask.png", "seg.png")
LABELS = ("cls", "txt", "json")
_OF_JSON = ("labels", "label", "classes", "class", "cls")
_NUMBERS = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True)
class Shards:
    """Samples in tar files: files of one name but for their endings, ``a.jpg``, ``a.cls`` and, where there is ground
    truth, ``a.mask.png``.

    The label is a number or a name in ``.cls`` or ``.txt``, or in ``.json`` under "label" or "labels", which may be a
    list. Numbers count from 0, in ``classes`` or ``classes.txt`` beside the tar files; names are put in the order of
    the alphabet. What stands before the number in a tar file's name is its split, where there are several.
    """

    root: Path
    files: tuple[str, ...]
    """Paths, or URLs."""
    classes: ClassList | None = None

    format = "tar files of samples (webdataset)"
    one_split_at_a_time = False

    def splits(self) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(map(_split, self.files)))
        return found if len(found) > 1 else ()

    def read(self, split: str | None) -> ImageSet:
        split = chosen_split(self.root, split, self.splits(), needed=self.one_split_at_a_time)
        problems: list[Problem] = []
        samples = [
            sample for file in self.files for sample in _samples(file, problems, split is None or _split(file) == split)
        ]
        given = known_classes(self.classes, self.root, numbered=True)
        numbered = all(name.isdecimal() for sample in samples for name in sample.names)
        names = given or ordered(name for sample in samples for name in sample.names if not is_background(name))
        if not names:
            raise DataError("no sample has a label (NAME.cls, NAME.txt or NAME.json): add them", self.root)
        by_number = numbered and given is not None
        index = {str(number) if by_number else name: number for number, name in enumerate(names)}
        records = []
        for sample in samples:
            if not sample.kept:
                continue
            try:
                classes = class_indices(sample.names, index)
                records.append(Record(image_id(inside(sample.id)), sample.image, classes, sample.mask))
            except BadEntry as error:
                problems.append(Problem(str(sample.image), f"the sample {error}"))
        return collect(self, self.root, split, names, records, problems)


@dataclass(frozen=True, slots=True)
class _Sample:
    id: str
    image: Path
    names: tuple[str, ...]
    mask: Path | None
    kept: bool


def _samples(file: str, problems: list[Problem], kept: bool) -> Iterator[_Sample]:
    """The samples of one tar file, from its headers and labels."""
    parts: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    try:
        # Headers lie far apart.
        with stored(file).open("rb", 1024) as opened:
            for name, start, length in members(opened):
                folder, slash, last = name.removeprefix("./").rpartition("/")
                key, _, suffix = last.partition(".")
                parts[folder + slash + key][suffix.lower()] = (start, length)
            for key, found in parts.items():
                ending = next((one for one in found if f".{one}" in IMAGE_SUFFIXES), None)
                label = next((one for one in LABELS if one in found), None)
                if ending is None or label is None:
                    lacks = "no picture" if ending is None else f"no label ({', '.join(LABELS)})"
                    problems.append(Problem(f"{file}/{key}", f"the sample has {lacks}: add it, or remove the sample"))
                    continue
                start, length = found[label]
                opened.seek(start)
                names = _names(opened.read(length), label)
                if names is None:
                    wrong = "the label cannot be read: write a name or a number"
                    problems.append(Problem(f"{file}/{key}.{label}", wrong))
                    continue
                mask = next((one for one in MASKS if one in found), None)
                yield _Sample(
                    key,
                    stored(file, *found[ending], f"{key}.{ending}"),
                    names,
                    None if mask is None else stored(file, *found[mask], f"{key}.{mask}"),
                    kept,
                )
    except (OSError, ValueError) as error:
        raise DataError(f"the tar file cannot be read ({error}): replace it, or correct the path", file) from error


def _names(data: bytes, kind: str) -> tuple[str, ...] | None:
    try:
        value: Any = data.decode().strip()
        if kind == "json":
            value = json.loads(value)
            if isinstance(value, dict):
                value = next((value[name] for name in _OF_JSON if name in value), None)
    except (ValueError, RecursionError):
        return None
    listed = value if isinstance(value, list) else [value]
    usable = all(isinstance(one, str | int) and not isinstance(one, bool) and str(one) for one in listed)
    return tuple(str(one) for one in listed) if usable else None


def _split(file: str) -> str:
    """What a tar file's name says before its number.

    >>> _split("s3://b/imagenet-train-000012.tar"), _split("shard.tar")
    ('imagenet-train', 'shard')
    """
    name = file.rpartition("/")[2].split(".")[0]
    return re.sub(r"[-_.]?\d+$", "", name) or name


def expanded(pattern: str) -> tuple[str, ...]:
    """All names of a pattern with numbers in braces.

    >>> expanded("a-{08..10}.tar")
    ('a-08.tar', 'a-09.tar', 'a-10.tar')
    """
    found = _NUMBERS.search(pattern)
    if found is None:
        return (pattern,)
    first, last = int(found[1]), int(found[2])
    if not 0 <= last - first < 10**6:
        raise DataError(f"{{{found[1]}..{found[2]}}} are no numbers in order: correct them", pattern)
    names = (f"{pattern[: found.start()]}{n:0{len(found[1])}}{pattern[found.end() :]}" for n in range(first, last + 1))
    return tuple(one for name in names for one in expanded(name))


@dataclass(frozen=True)
class URLTable:
    """A label table at a URL, whose rows name pictures (and masks) beside it, or by URLs of their own.

    Nothing is listed: a picture that is not there is told when it is read.
    """

    url: str
    classes: ClassList | None = None

    format = "label table at a URL"
    one_split_at_a_time = False

    def splits(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.split for row in self._table().rows if row.split))

    def _table(self) -> Any:
        return read_table(stored(self.url), known_classes(self.classes, Path()))

    def read(self, split: str | None) -> ImageSet:
        table, folder = self._table(), self.url.rpartition("/")[0]
        split = chosen_split(table.path, split, self.splits(), needed=self.one_split_at_a_time)
        given = known_classes(self.classes, Path()) or table.classes
        labels = split_labels(table.path, [row.labels for row in table.rows], given)
        names = given or ordered(name for found in labels for name in found or () if not is_background(name))
        if not names:
            raise DataError("no row names a class: fill in the labels", table.path)
        index = {name: number for number, name in enumerate(names)}
        records, problems = [], []
        for row, found in zip(table.rows, labels, strict=True):
            if split not in (None, row.split):
                continue
            try:
                if row.fault or found is None:
                    raise BadEntry(row.fault or "has no label: write one, or 'background'")
                name, place = _named(folder, row.image)
                mask = stored(_named(folder, row.mask)[1]) if row.mask else None
                records.append(Record(image_id(name), stored(place), class_indices(found, index), mask))
            except BadEntry as error:
                problems.append(Problem(str(table.path), f"line {row.line} {error}"))
        return collect(self, stored(folder), split, names, records, problems)


def _named(folder: str, name: str) -> tuple[str, str]:
    """The relative name of a picture, which becomes its id, and its URL.

    >>> _named("s3://b/data", "a.jpg"), _named("s3://b/data", "gs://c/d/a.jpg")
    (('a.jpg', 's3://b/data/a.jpg'), ('c/d/a.jpg', 'gs://c/d/a.jpg'))
    """
    if "://" in name:
        return inside(name.split("://", 1)[1].lstrip("/")), name
    return inside(name), f"{folder}/{inside(name)}"


def at_url(url: str, classes: ClassList | None) -> Shards | URLTable:
    """What lies at a URL: tar files, or a label table.

    Raises:
        DataError: it is neither, or its store cannot be reached.
    """
    try:
        import fsspec

        fsspec.core.url_to_fs(expanded(url)[0])
    except (ImportError, ValueError) as error:
        raise DataError(f"the store cannot be read ({error}): install its package, or correct the URL", url) from None
    if url.endswith(".tar"):
        return Shards(Path(), expanded(url), classes)
    if url.lower().endswith(TABLE_SUFFIXES):
        return URLTable(url, classes)
    raise DataError("a URL names a label table (CSV, TSV, JSONL) or tar files, such as shard-{000..127}.tar", url)
