"""The localization maps of one image, as they are kept in a run folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from advcam.attribute.grid import stored_size
from advcam.errors import RunError
from advcam.io.arrays import reading_arrays, write_arrays


@dataclass(frozen=True)
class LocalizationMaps:
    """Maps of the known classes of one image on every fourth pixel.

    ``classes`` are 0-based and ascending, ``maps`` in [0, 1], ``image_size`` is (height, width) in pixels, and
    ``scores`` are the classifier's probabilities of the classes for the unchanged image.
    """

    classes: Int[np.ndarray, " k"]
    maps: Float[np.ndarray, "k h4 w4"]
    image_size: tuple[int, int]
    scores: Float[np.ndarray, " k"]

    def __post_init__(self) -> None:
        expected = (len(self.classes), *stored_size(self.image_size))
        if self.maps.shape != expected or self.scores.shape != self.classes.shape:
            raise RunError(
                f"maps of {len(self.classes)} classes for an image of {self.image_size} must have shape {expected}, "
                f"not {self.maps.shape} with {self.scores.shape} scores"
            )

    @property
    def unseen(self) -> tuple[int, ...]:
        """Classes whose map is zero everywhere: the classifier finds no trace of them in this image."""
        return tuple(int(c) for c, map_hw in zip(self.classes, self.maps, strict=True) if not map_hw.any())

    @property
    def width(self) -> float:
        """The part of the image where a map is at least half of its maximum, mean over the classes that are seen.

        >>> maps = np.array([[[1, 0.6], [0.2, 0]]])
        >>> LocalizationMaps(np.array([3]), maps, (8, 8), np.ones(1)).width
        0.5
        """
        seen = [map_hw for map_hw in self.maps if map_hw.any()]
        return float(np.mean([(map_hw >= map_hw.max() / 2).mean() for map_hw in seen])) if seen else float("nan")

    def save(self, path: Path) -> None:
        """Write ``path`` (npz, no pickle) in one go: it is whole or it is not there. Equal maps give equal bytes."""
        refuse_nan(path, self.maps, self.scores)
        arrays = {
            "classes": self.classes.astype(np.int16),
            "maps": self.maps.astype(np.float16),
            "image_size": np.asarray(self.image_size, dtype=np.int32),
            "scores": self.scores.astype(np.float32),
        }
        write_arrays(path, arrays)

    @classmethod
    def load(cls, path: Path, size: tuple[int, int] | None = None, class_count: int | None = None) -> LocalizationMaps:
        """Read what ``save`` wrote.

        Raises:
            RunError: the file is missing, cut short or something else; or its maps are NaN, or not of a picture of this
                height and width, or of a class that is not below ``class_count``.
        """
        with reading_arrays(path, "file of maps", "attribute") as arrays:
            found = cls(arrays["classes"].astype(np.int64), arrays["maps"], _size(arrays), arrays["scores"])
            check(found.image_size, found.classes, (found.maps, found.scores), size, class_count)
            if (np.diff(found.classes) <= 0).any():
                raise ValueError("its classes are not ascending")
            return found


def _size(arrays: Mapping[str, np.ndarray]) -> tuple[int, int]:
    height, width = (int(side) for side in arrays["image_size"])
    return height, width


def check(
    there: tuple[int, int],
    classes: Iterable[Any],
    numbers: Iterable[Any],
    size: tuple[int, int] | None,
    class_count: int | None,
) -> None:
    """ValueError unless stored maps are of numbers, of a picture's size, and of classes that there are."""
    if not all(np.isfinite(values).all() for values in numbers):
        raise ValueError("it has NaN or infinity in it")
    if size is not None and there != size:
        raise ValueError(
            f"it is of a picture of {there[0]} x {there[1]} pixels, and the picture has {size[0]} x {size[1]}"
        )
    most = np.iinfo(np.int16).max if class_count is None else class_count - 1
    if any(not 0 <= index <= most for index in classes):
        raise ValueError(f"it has a class that is not in 0..{most}")


def refuse_nan(path: Path, *numbers: Any) -> None:
    """RunError where maps came out as NaN or infinity, which half precision or a huge step size can bring about."""
    if not all(np.isfinite(values).all() for values in numbers):
        raise RunError(
            f"the maps for {path} came out as NaN or infinite: take attribute.precision float32 and a smaller "
            "climb.step_size, or another classifier"
        )
