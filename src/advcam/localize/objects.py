"""The objects of one class on its localization map: where a user wants boxes and has no ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from scipy import ndimage
from torch import Tensor

from advcam.localize.protocol import protocol_map
from advcam.localize.settings import ObjectSettings

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=np.int8)


@dataclass(frozen=True)
class Objects:
    """Objects of one class, the surest first.

    ``boxes``: x0, y0, x1, y1 in pixels of the image; x1 and y1 are one past the last pixel. ``scores``: the highest
    value of the normalized map within each, in (0, 1]. ``threshold``: what the map had to exceed, in [0, 1).
    """

    boxes: Int64[Tensor, "m 4"]
    scores: Float64[Tensor, " m"]
    threshold: float


def find_objects(
    score_map: Float[Tensor, "h w"],
    image_size: tuple[int, int],
    settings: ObjectSettings | None = None,
    *,
    name: str = "the image",
) -> Objects:
    """One box for each 8-connected component of what exceeds the threshold on the map.

    The map is brought to the size of the image (bicubic) and normalized. Unlike the benchmark's boxes these are
    exact, holes make none, and small components are left out. A map that is constant or has a NaN has no objects.

    Args:
        score_map: the map of the class, any size and range.
        image_size: W, H in pixels.
        settings: threshold, least area, number.
        name: of the image, for errors.

    Raises:
        DataError: the map is empty or infinite.

    >>> import torch
    >>> score_map = torch.zeros(8, 8)
    >>> score_map[1:4, 1:4], score_map[5:8, 6:8] = 1.0, 0.6
    >>> find_objects(score_map, (8, 8)).boxes.tolist()
    [[1, 1, 4, 4], [6, 5, 8, 8]]
    """
    settings = settings or ObjectSettings()
    width, height = image_size
    scores = protocol_map(score_map, height, width, settings.normalization, name).numpy()
    threshold = float(scores.mean() if settings.threshold is None else settings.threshold * scores.max())
    labels, count = ndimage.label(scores > threshold, _EIGHT_NEIGHBOURS)
    if not count:
        return Objects(torch.zeros(0, 4, dtype=torch.int64), torch.zeros(0, dtype=torch.float64), threshold)
    areas = np.bincount(labels.ravel())[1:]
    peaks = np.asarray(ndimage.maximum(scores, labels, np.arange(1, count + 1)))
    boxes = np.array([(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(labels)])
    order = np.lexsort((-areas, -peaks))
    kept = order[areas[order] >= settings.min_area * areas.max()][: settings.max_objects]
    return Objects(torch.from_numpy(boxes[kept]), torch.from_numpy(peaks[kept]), threshold)
