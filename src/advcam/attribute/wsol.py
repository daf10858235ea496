"""Maps for weakly supervised localization: one class and one square view per image, raw, as the benchmark has them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from advcam.attribute.climb import Climbed, climb_pairs
from advcam.attribute.result import check, refuse_nan
from advcam.attribute.seen import Climbable
from advcam.attribute.settings import ClimbSettings, climbs
from advcam.classify.wsol.method import LocalizationMethod
from advcam.io.arrays import reading_arrays, write_arrays


def score_maps(
    network: LocalizationMethod,
    map_: Climbable,
    images: Float[Tensor, "n 3 H W"],
    classes: Int[Tensor, " n"],
    climb: ClimbSettings | None,
    *,
    tested: bool = True,
) -> Climbed:
    """The maps of each image's class for the unchanged image and, with ``climb``, summed while it is climbed.

    A network trained by ACoL is climbed on its first head, and both heads' maps are summed, and fused as its test fuses
    them.

    Args:
        network: a trained method in evaluation mode.
        map_: of it.
        images: in the network's input space.
        classes: one per image.
        climb: None for plain maps.
        tested: the map is the method's own: the unchanged image's is the signed one that the benchmark tests.
    """
    found = None if climb is None else climb_pairs(map_, images, classes, climb)
    if tested:
        with torch.no_grad():
            cam, logits = network.score_maps(images, classes)
    else:
        found = found or climb_pairs(map_, images, classes, ClimbSettings(steps=1, flip=False))
        cam, logits = found.cam, found.logits
    return Climbed(cam if found is None or climb is None else found.maps, cam, logits)


@dataclass(frozen=True)
class ScoreMapFile:
    """The raw maps of one image as a localization run keeps them.

    ``label``: the class that was mapped; ``predicted``: the one that the classifier finds; ``probability``: of the
    label; ``image_size``: (height, width) in pixels.
    """

    label: int
    predicted: int
    probability: float
    cam: Float32[np.ndarray, "h w"]
    maps: Float32[np.ndarray, "h w"]
    image_size: tuple[int, int]

    def of(self, kind: str) -> Float32[Tensor, "h w"]:
        """The maps of one kind: "cam", or the climbed ones."""
        return torch.from_numpy(self.maps if climbs(kind) else self.cam)

    def save(self, path: Path) -> None:
        """Write ``path`` (npz, no pickle) in one go."""
        refuse_nan(path, self.cam, self.maps, self.probability)
        arrays = {
            "label": np.int32(self.label),
            "predicted": np.int32(self.predicted),
            "probability": np.float32(self.probability),
            "cam": self.cam,
            "maps": self.maps,
            "image_size": np.asarray(self.image_size, dtype=np.int32),
        }
        write_arrays(path, arrays, compressed=False)

    @classmethod
    def load(cls, path: Path, size: tuple[int, int] | None = None, class_count: int | None = None) -> ScoreMapFile:
        """Read what ``save`` wrote; RunError as ``LocalizationMaps.load``."""
        with reading_arrays(path, "file of score maps", "attribute") as arrays:
            height, width = (int(side) for side in arrays["image_size"])
            found = cls(
                int(arrays["label"]),
                int(arrays["predicted"]),
                float(arrays["probability"]),
                arrays["cam"],
                arrays["maps"],
                (height, width),
            )
            if found.cam.ndim != 2 or found.cam.shape != found.maps.shape or found.cam.size == 0:
                raise ValueError(f"its maps have the shapes {found.cam.shape} and {found.maps.shape}")
            numbers = (found.cam, found.maps, found.probability)
            check(found.image_size, (found.label, found.predicted), numbers, size, class_count)
            return found
