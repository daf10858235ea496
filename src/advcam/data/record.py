"""What a labelled image is, whatever format it was read from."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from advcam.errors import DataError


@dataclass(frozen=True, slots=True)
class Box:
    """A bounding box in pixels: ``x0 <= x < x1`` and ``y0 <= y < y1``, of class ``class_index`` (0-based)."""

    class_index: int
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True)
class Polygons:
    """The mask of an image as outlines and runs, in pixels of the image, as COCO has it.

    ``rings`` are ``(class_index, coordinates)`` in drawing order; the coordinates are x and y of each corner in turn,
    ``x0, y0, x1, y1, ...``. ``runs`` are ``(class_index, lengths)`` and are drawn before the rings: lengths of runs
    outside and inside in turn, down the columns, from the left. ``size`` is height and width of the image that they
    were drawn on. The class index -1 stands for what does not count.
    """

    # COCO's fifty million coordinates are three gigabytes as tuples of floats, and 0.2 as packed numbers.
    rings: tuple[tuple[int, array], ...]
    size: tuple[int, int]
    runs: tuple[tuple[int, array], ...] = ()


@dataclass(frozen=True, slots=True)
class MaskFiles:
    """The mask of an image of one class as a picture for each object, not 0 on it, and one for what does not count.

    OpenImages and MVTec have them so. They need not be of the image's size. Without objects all is background.
    """

    objects: tuple[Path, ...]
    ignore: Path | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One labelled image.

    ``id`` is the path relative to the data root without extension, with ``/`` between folders; it names every
    output of the image. ``classes`` are 0-based, ascending and unique. ``mask`` is an indexed PNG (0 background,
    ``class_index + 1``, 255 ignore), polygons, or several pictures; ``None`` where there is no ground truth.
    ``objects`` is an indexed PNG with a number for each object (0 none, 255 border), whose classes ``mask`` has.
    """

    id: str
    image: Path
    classes: tuple[int, ...]
    mask: Path | Polygons | MaskFiles | None = None
    boxes: tuple[Box, ...] | None = None
    objects: Path | None = None


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a data set: which file, what is wrong with it, and how to fix it, in one sentence."""

    file: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.message}" if self.file else self.message


def as_problem(error: DataError) -> Problem:
    """An error as an entry of a list."""
    return Problem(error.file or "", error.message)


@dataclass(frozen=True)
class ImageSet:
    """The labelled images of one split.

    ``left_out`` lists what ``skip_bad`` passed over, ``notices`` what lies there and is not used, or looks odd.
    """

    root: Path
    format: str
    split: str | None
    class_names: tuple[str, ...]
    records: tuple[Record, ...]
    left_out: tuple[Problem, ...] = ()
    notices: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.records)

    @property
    def has_masks(self) -> bool:
        """True where every image has a ground-truth mask."""
        return bool(self.records) and all(record.mask is not None for record in self.records)

    def keep(self, ids: Iterable[str]) -> ImageSet:
        """The same set with only the images of these ids, in its own order."""
        wanted = set(ids)
        return replace(self, records=tuple(record for record in self.records if record.id in wanted))
