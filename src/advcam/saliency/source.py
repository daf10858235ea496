"""Where saliency maps come from: the interface that files and detectors share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image


@runtime_checkable
class SaliencySource(Protocol):
    """Saliency maps of pictures, a few at a time."""

    @property
    def batch_size(self) -> int:
        """Pictures that are worked on together. Which ones share a batch may change a map in its last bits."""
        ...

    def __call__(
        self, ids: Sequence[str], images: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    ) -> list[Float32[np.ndarray, "_ _"] | None]:
        """For each picture its map in [0, 1], of the picture's size; None where the source has none.

        Args:
            ids: of the pictures, with ``/`` between sub-folders.
        """
        ...


def resized(saliency: Float32[np.ndarray, "h w"], size: tuple[int, int]) -> Float32[np.ndarray, "H W"]:
    """A map at another size, bilinear; a smaller one is averaged."""
    if saliency.shape == size:
        return saliency
    scaled = Image.fromarray(saliency).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(scaled, dtype=np.float32).clip(0, 1)
