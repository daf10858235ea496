"""Shapes from a tool's file, drawn when they are asked for; and names of classes and images as tools write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from advcam.data.classes import BACKGROUND
from advcam.data.ids import BadEntry, image_id, inside
from advcam.errors import DataError, shortened

# An annotation may claim any size; a larger picture is refused, as Pillow does.
MAX_PIXELS = 2 * 89_478_485


@dataclass
class Layers:
    """The shapes of one image in the order in which they are drawn: later ones over earlier ones."""

    where: str
    """File and image, for sentences."""
    size: tuple[int, int]
    shapes: list[tuple[int, Callable[[], Bool[np.ndarray, "H W"]]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        height, width = self.size
        if not (height > 0 and width > 0 and height * width <= MAX_PIXELS):
            raise DataError(f"{self.where}: {width} x {height} is no size of an image: correct the file")

    def __call__(self) -> UInt8[np.ndarray, "H W"]:
        found = np.zeros(self.size, np.uint8)
        for class_index, draw in self.shapes:
            try:
                found[draw()] = class_index + 1
            except (ValueError, IndexError, KeyError, TypeError) as error:
                raise DataError(f"{self.where}: a shape cannot be drawn, since {error}: export it again") from error
        return found


def named(name: str, where: str) -> str:
    """The id of the image that a tool's file names.

    Raises:
        DataError: the name leads out of the data folder, or is none.
    """
    try:
        return image_id(inside(name.replace("\\", "/")))
    except BadEntry as error:
        raise DataError(f"{where}: an image {error}") from error


def numbering(class_names: Sequence[str] | None, listed: Sequence[str]) -> tuple[str, ...]:
    """The classes in the order of their mask values: those that are given, else those that the file lists."""
    if class_names is not None:
        return tuple(class_names)
    return tuple(dict.fromkeys(name for name in listed if name.strip("_").lower() != BACKGROUND))


def class_number(name: str | None, class_names: Sequence[str], where: str | Path) -> int:
    """The 0-based class of a name in a tool's file.

    Raises:
        DataError: it is none of the classes.
    """
    try:
        return class_names.index(name or "")
    except ValueError:
        raise DataError(
            f"{where}: it names the class {name!r}, which is none of {shortened(class_names)}: rename it there"
        ) from None
