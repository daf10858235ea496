"""The localization maps of one image, as they are kept in a run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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

    def save(self, path: Path) -> None:
        """Write ``path`` (npz, no pickle) in one go: it is whole or it is not there. Equal maps give equal bytes."""
        arrays = {
            "classes": self.classes.astype(np.int16),
            "maps": self.maps.astype(np.float16),
            "image_size": np.asarray(self.image_size, dtype=np.int32),
            "scores": self.scores.astype(np.float32),
        }
        write_arrays(path, arrays)

    @classmethod
    def load(cls, path: Path) -> LocalizationMaps:
        """Read what ``save`` wrote; RunError where the file is missing, cut short or something else."""
        with reading_arrays(path, "file of maps", "attribute") as arrays:
            height, width = (int(side) for side in arrays["image_size"])
            found = cls(arrays["classes"].astype(np.int64), arrays["maps"], (height, width), arrays["scores"])
            if not (np.isfinite(found.maps).all() and np.isfinite(found.scores).all()):
                raise ValueError("it has NaN or infinity in it")
            if (found.classes < 0).any():
                raise ValueError("a class is below 0")
            return found
