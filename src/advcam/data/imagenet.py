"""ImageNet (ILSVRC 2012, localization) as it is distributed: a folder for each class, one XML file for each image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from advcam.data.classes import ClassList, known_classes
from advcam.data.ids import BadEntry
from advcam.data.images import image_size
from advcam.data.listing import list_images
from advcam.data.reader import chosen_split, collect
from advcam.data.record import Box, ImageSet, Problem, Record, as_problem
from advcam.data.text import read_text
from advcam.data.voc_xml import read_annotation
from advcam.errors import DataError

DATA, ANNOTATIONS, SYNSETS = "Data/CLS-LOC", "Annotations/CLS-LOC", "LOC_synset_mapping.txt"
# What the whole data set has: classes, training and validation images.
OFFICIAL = (1_000, 1_281_167, 50_000)


@dataclass(frozen=True)
class ImageNet:
    """The folder ``ILSVRC``: ``Data/CLS-LOC/train/<wnid>/*.JPEG``, ``Data/CLS-LOC/val/*.JPEG`` and ``Annotations``.

    The classes are the folders of ``train`` in alphabetical order, which is that of everyone's class numbers. Their
    names come from ``LOC_synset_mapping.txt`` beside ``ILSVRC`` or in it. Labels and boxes of ``val`` come from the
    XML files; boxes keep their numbers, at most W - 1 and H - 1, as in the WSOL benchmark.
    """

    root: Path
    classes: ClassList | None = None

    format = "ImageNet (ILSVRC)"
    one_split_at_a_time = True

    def splits(self) -> tuple[str, ...]:
        return tuple(name for name in ("train", "val") if (self.root / DATA / name).is_dir())

    def read(self, split: str | None) -> ImageSet:
        split = chosen_split(self.root, split, self.splits(), needed=True)
        wnids = self._wnids()
        index = {wnid: number for number, wnid in enumerate(wnids)}
        folder = self.root / DATA / str(split)
        images = list_images(folder)
        problems = list(images.problems)
        records: list[Record] = []
        for relative in images.files.values():
            try:
                records.append(self._record(folder / relative, relative, str(split), index))
            except BadEntry as error:
                problems.append(Problem(str(folder / relative), f"the image {error}"))
            except DataError as error:
                problems.append(as_problem(error))
        names = known_classes(self.classes, Path(), numbered=True) if self.classes is not None else self._names(wnids)
        if names is None or len(names) != len(wnids):
            raise DataError(f"there are {len(wnids)} classes, but {len(names or ())} names: list all", self.root)
        return collect(self, folder, split, names, records, problems)

    def integrity(self) -> list[Problem]:
        """Whether this is all of the data set."""
        counts = [sum(1 for _ in self._files(name)) for name in ("train", "val")]
        found = (len(self._wnids()), *counts)
        if found == OFFICIAL:
            return []
        message = (
            f"there are {found[0]} classes, {found[1]} training and {found[2]} validation images, where ILSVRC 2012 "
            f"has {OFFICIAL[0]}, {OFFICIAL[1]} and {OFFICIAL[2]}: unpack the archive again, or use what there is"
        )
        return [Problem(str(self.root), message)]

    def _files(self, split: str) -> Iterator[Path]:
        folder = self.root / DATA / split
        return folder.rglob("*.JPEG") if folder.is_dir() else iter(())

    def _wnids(self) -> tuple[str, ...]:
        folder = self.root / DATA / "train"
        wnids = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir())) if folder.is_dir() else ()
        if not wnids:
            wnids = tuple(wnid for wnid, _ in self._mapping())
        if not wnids:
            raise DataError(f"there is neither {DATA}/train nor {SYNSETS}: unpack the archive again", self.root)
        return wnids

    def _mapping(self) -> list[tuple[str, str]]:
        """The line of each class: its number in WordNet and its words."""
        for path in (self.root / SYNSETS, self.root.parent / SYNSETS):
            if path.is_file():
                lines = [line.partition(" ") for line in read_text(path).split("\n") if line.strip()]
                return [(wnid, words.split(",")[0].strip()) for wnid, _, words in lines]
        return []

    def _names(self, wnids: tuple[str, ...]) -> tuple[str, ...]:
        """The first word of each class, with its number where several classes share it; else the numbers."""
        words = dict(self._mapping())
        shared = Counter(words.values())
        return tuple(
            wnid if wnid not in words else words[wnid] if shared[words[wnid]] == 1 else f"{words[wnid]} ({wnid})"
            for wnid in wnids
        )

    def _record(self, path: Path, relative: str, split: str, index: dict[str, int]) -> Record:
        if path.stat().st_size == 0:
            raise BadEntry("is empty: unpack the archive again")
        stem = relative.rpartition(".")[0]
        annotation = read_annotation(self.root / ANNOTATIONS / split / f"{stem}.xml")
        if split == "train":
            wnid = relative.partition("/")[0]
        elif annotation is None or not annotation.names:
            raise BadEntry(f"has no annotation {ANNOTATIONS}/{split}/{stem}.xml: unpack the archive again")
        else:
            wnid = annotation.names[0]
        if wnid not in index:
            raise BadEntry(f"is of the class {wnid!r}, which {DATA}/train does not have: unpack the archive again")
        boxes = None
        if annotation is not None:
            rows, columns = image_size(path)
            # The annotations' reader counts from 1, as VOC does; the benchmark takes the numbers as they are.
            boxes = tuple(
                Box(index[name], x0 + 1, y0 + 1, min(x1, columns - 1), min(y1, rows - 1))
                for name, x0, y0, x1, y1 in annotation.named_boxes
                if name == wnid
            )
        return Record(stem, path, (index[wnid],), boxes=boxes)
