"""Instance masks of one image by IRN: maps cut to the cells that one centroid gathers, walked, and told apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, UInt16
from PIL import Image
from torch import Tensor

from advcam.io.arrays import reading_arrays, write_arrays
from advcam.refine.irn.clustering import Detections, detect, find_centroids, instance_maps, instance_masks
from advcam.refine.irn.propagation import image_scores, propagate
from advcam.refine.irn_settings import IRNInstanceSettings, IRNWalkSettings


@dataclass(frozen=True)
class FoundObjects:
    """The objects of one image; no pixel is in two."""

    numbers: UInt16[np.ndarray, "H W"]
    """0 for none, j + 1 for the j-th object."""
    classes: Int[np.ndarray, " m"]
    """0-based."""
    scores: Float32[np.ndarray, " m"]
    """In [0, 1]; 0 for an object too small to count."""

    @classmethod
    def of(cls, found: Detections) -> FoundObjects:
        """Detections as one picture of numbers."""
        numbers = torch.zeros(found.masks.shape[1:], dtype=torch.int32)
        for index, mask in enumerate(found.masks.cpu()):
            numbers[mask] = index + 1
        return cls(
            numbers.numpy().astype(np.uint16),
            found.classes.cpu().numpy().astype(np.int64),
            found.scores.cpu().numpy().astype(np.float32),
        )

    @property
    def masks(self) -> Bool[np.ndarray, "m H W"]:
        """One mask per object."""
        return self.numbers == np.arange(1, len(self.classes) + 1)[:, None, None]

    def at_size(self, size: tuple[int, int]) -> FoundObjects:
        """The objects in a picture of another height and width."""
        if self.numbers.shape == size:
            return self
        picture = Image.fromarray(self.numbers.astype(np.int32))
        wide = picture.resize((size[1], size[0]), Image.Resampling.NEAREST)
        return FoundObjects(np.asarray(wide).astype(np.uint16), self.classes, self.scores)

    def rows(self, class_names: Sequence[str]) -> Iterator[tuple[int, str, str, int, int, int, int, int]]:
        """Of each object: its number, class, score and pixels, and its box x0, y0, x1, y1, one past the last pixel."""
        for index, mask in enumerate(self.masks):
            lines, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            if len(lines):
                name, score = class_names[self.classes[index]], f"{self.scores[index]:.4f}"
                box = int(columns[0]), int(lines[0]), int(columns[-1]) + 1, int(lines[-1]) + 1
                yield index + 1, name, score, int(mask.sum()), *box

    def save(self, path: Path) -> None:
        """Write ``path`` (npz, no pickle) in one go."""
        arrays = {"numbers": self.numbers, "classes": self.classes.astype(np.int16), "scores": self.scores}
        write_arrays(path, arrays)

    @classmethod
    def load(cls, path: Path) -> FoundObjects:
        """Read what ``save`` wrote; RunError where the file is missing, cut short or something else."""
        with reading_arrays(path, "file of objects", "instances") as arrays:
            return cls(arrays["numbers"], arrays["classes"].astype(np.int64), arrays["scores"])


def find_objects(
    maps: Float[Tensor, "k h w"],
    classes: Sequence[int],
    edge: Float[Tensor, "h w"],
    displacement: Float[Tensor, "2 h w"],
    size: tuple[int, int],
    settings: IRNInstanceSettings,
    walk: IRNWalkSettings,
) -> FoundObjects:
    """The objects of an image from its maps, edges and displacements (IRN paper, section 5.2).

    Cells that the displacements lead to one centroid are one candidate. Each class map is cut to each candidate, all
    of them walk, and each pixel goes to the highest, or to the background. The program takes the maps as they are,
    without the power of its class masks.

    Args:
        maps: of the image's classes, in [0, 1], one cell per 4 pixels.
        classes: 0-based.
        size: height and width of the image.
    """
    if not len(classes) or not maps.any():
        return FoundObjects(np.zeros(size, np.uint16), np.zeros(0, np.int64), np.zeros(0, np.float32))
    candidates = instance_masks(displacement, find_centroids(displacement, settings.drift_steps), settings.weak)
    cut = instance_maps(maps, candidates)
    # Many candidates hold nothing of a class; zero stays zero on the walk.
    filled = cut.flatten(1).any(dim=1)
    walked = torch.zeros_like(cut)
    walked[filled] = propagate(cut[filled], edge, radius=walk.radius, beta=walk.beta, exp_times=walk.exp_times)
    return FoundObjects.of(detect(image_scores(walked, size), classes, settings.background, settings.min_area))
