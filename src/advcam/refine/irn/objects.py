"""Instance masks of one image by IRN: maps cut to the cells that one centroid gathers, walked, and told apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, UInt16
from PIL import Image
from scipy import ndimage
from torch import Tensor

from advcam.errors import DataError
from advcam.io.arrays import reading_arrays, write_arrays
from advcam.refine.irn.clustering import find_centroids, instance_maps, instance_masks
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


def detect(
    scores: Float[Tensor, "c H W"], classes: Sequence[int], threshold: float = 0.25, min_area: float = 0.01
) -> FoundObjects:
    """Objects from the walked maps of all classes and instances.

    Each pixel goes to the highest map, or to the background where none is above ``threshold``. Every 4-connected piece
    of a map is one object, with the maximum of the map in it as its score; maps come in their order, their pieces in
    raster order.

    Args:
        scores: walked instance maps at the size of the image, divided by the one maximum over all.
        classes: the 0-based classes ``k`` of the maps, of which each has the same number of instances.
        min_area: pieces smaller than this share of the image get the score 0.

    Raises:
        DataError: the number of maps is not a multiple of the number of classes.

    >>> found = detect(torch.tensor([[[0.9, 0.5, 0.0, 0.6]]]), classes=[7])
    >>> found.classes.tolist(), found.numbers.tolist()
    ([7, 7], [[1, 1, 0, 2]])
    """
    if len(classes) == 0 or len(scores) % len(classes):
        raise DataError(
            f"{len(scores)} instance maps cannot belong to {len(classes)} classes: "
            "give the same number of instances for every class"
        )
    winner = torch.cat([scores.new_full((1, *scores.shape[1:]), threshold), scores]).argmax(dim=0).cpu().numpy()
    numbers = np.zeros(winner.shape, np.uint16)
    found_scores, found_classes = [], []
    for channel, map_HW in enumerate(scores.cpu().numpy()):
        pieces, count = ndimage.label(winner == channel + 1)
        for piece in range(1, count + 1):
            mask = pieces == piece
            found_scores.append(map_HW[mask].max() if mask.sum() >= min_area * mask.size else 0.0)
            found_classes.append(classes[channel * len(classes) // len(scores)])
            numbers[mask] = len(found_scores)
    return FoundObjects(numbers, np.array(found_classes, np.int64), np.array(found_scores, np.float32))


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
    """
    if not len(classes) or not maps.any():
        return FoundObjects(np.zeros(size, np.uint16), np.zeros(0, np.int64), np.zeros(0, np.float32))
    candidates = instance_masks(displacement, find_centroids(displacement, settings.drift_steps), settings.weak)
    cut = instance_maps(maps, candidates)
    # Many candidates hold nothing of a class; zero stays zero on the walk.
    filled = cut.flatten(1).any(dim=1)
    walked = torch.zeros_like(cut)
    walked[filled] = propagate(cut[filled], edge, radius=walk.radius, beta=walk.beta, exp_times=walk.exp_times)
    return detect(image_scores(walked, size), classes, settings.background, settings.min_area)
