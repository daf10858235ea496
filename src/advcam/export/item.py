"""What is exported, in the least form that all annotation tools share: class names, pictures, objects on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, UInt8
from scipy import ndimage

from advcam.data.masks import IGNORE
from advcam.errors import DataError
from advcam.export.runs import box_of

BACKGROUND = 0
What = Literal["masks", "instances", "boxes"]


@dataclass(frozen=True)
class Shape:
    """One object, or all pixels of one class: a 0-based class with a mask, or with a box x0, y0, x1, y1 in pixels."""

    class_index: int
    mask: Bool[np.ndarray, "H W"] | None = None
    box: tuple[float, float, float, float] | None = None
    score: float | None = None
    """How sure it is, in [0, 1]."""

    @property
    def corners(self) -> tuple[float, float, float, float] | None:
        """The box around it; None where there is nothing."""
        if self.mask is None:
            return self.box
        return box_of(self.mask) if self.mask.any() else None


@dataclass(frozen=True)
class Item:
    """One picture and what was found on it."""

    id: str
    """The image's id; with the ending of ``file`` it is the picture's name in every format."""
    file: Path
    size: tuple[int, int]
    """Height and width, turned by the EXIF orientation as tools show it."""
    shapes: tuple[Shape, ...]
    classes: tuple[int, ...] = ()
    """The labels of the image, 0-based."""
    doubt: float | None = None
    """How much a person should look at it, in [0, 1]."""
    ignored: Bool[np.ndarray, "H W"] | None = None
    """Pixels that are set aside."""

    @property
    def name(self) -> str:
        return f"{self.id}{self.file.suffix}"

    @property
    def drawn(self) -> Iterator[tuple[Shape, tuple[float, float, float, float]]]:
        """The shapes that are somewhere, each with the box around it."""
        return ((shape, corners) for shape in self.shapes if (corners := shape.corners) is not None)

    def labels(self) -> UInt8[np.ndarray, "H W"]:
        """The indexed mask: 0 background, class + 1, 255 set aside; later shapes over earlier ones."""
        found = np.zeros(self.size, np.uint8)
        for shape in self.shapes:
            if shape.mask is not None:
                found[shape.mask] = shape.class_index + 1
        if self.ignored is not None:
            found[self.ignored] = IGNORE
        return found

    def numbers(self) -> UInt8[np.ndarray, "H W"]:
        """The number of the object of each pixel, from 1 on; 0 where there is none."""
        masks = [shape.mask for shape in self.shapes if shape.mask is not None]
        if len(masks) >= IGNORE:
            raise DataError(f"{self.file}: {len(masks)} objects, and a picture of objects can hold 254: export masks")
        found = np.zeros(self.size, np.uint8)
        for number, mask in enumerate(masks, 1):
            found[mask] = number
        return found


def shapes_of(labels: UInt8[np.ndarray, "H W"], scores: Mapping[int, float] | None = None) -> tuple[Shape, ...]:
    """One shape for each class in an indexed mask.

    >>> [shape.class_index for shape in shapes_of(np.array([[0, 2], [255, 1]], np.uint8))]
    [0, 1]
    """
    present = [int(value) for value in np.unique(labels) if value not in (BACKGROUND, IGNORE)]
    return tuple(Shape(value - 1, labels == value, score=(scores or {}).get(value - 1)) for value in present)


def parts_of(labels: UInt8[np.ndarray, "H W"]) -> tuple[Shape, ...]:
    """One shape for each connected part (4-neighbours) of each class in an indexed mask.

    >>> [(shape.class_index, int(shape.mask.sum())) for shape in parts_of(np.array([[1, 0, 1], [2, 0, 1]], np.uint8))]
    [(0, 1), (0, 2), (1, 1)]
    """
    found = []
    for shape in shapes_of(labels):
        numbers, count = ndimage.label(shape.mask)
        found += [replace(shape, mask=numbers == number) for number in range(1, count + 1)]
    return tuple(found)


@dataclass(frozen=True)
class Annotated:
    """A set of pictures with what was found on them; the items are made one at a time, so that any number fits."""

    class_names: tuple[str, ...]
    ids: tuple[str, ...]
    load: Callable[[str], Item] = field(repr=False)
    what: What = "masks"

    def __iter__(self) -> Iterator[Item]:
        return (self.load(image_id) for image_id in self.ids)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Corrections(Mapping[str, UInt8[np.ndarray, "H W"]]):
    """Masks that came back from a tool, by image id: 0 background, class + 1, 255 ignore. Each is drawn when asked for.

    >>> found = Corrections("png", ("cat",), {"a": lambda: np.ones((2, 2), np.uint8)})
    >>> len(found), found["a"].max()
    (1, np.uint8(1))
    """

    format: str
    class_names: tuple[str, ...]
    drawn: Mapping[str, Callable[[], UInt8[np.ndarray, "H W"]]] = field(repr=False)
    tagged: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """The labels of images that the tool has as such, without a mask."""
    untouched: frozenset[str] = frozenset()
    """Images of which the tool itself says that nobody has annotated them."""
    source: object = field(default=None, repr=False)
    """What must live as long as the masks are drawn: the unpacked archive."""

    def __getitem__(self, image_id: str) -> UInt8[np.ndarray, "H W"]:
        return self.drawn[image_id]()

    def __iter__(self) -> Iterator[str]:
        return iter(self.drawn)

    def __len__(self) -> int:
        return len(self.drawn)
