"""The objects of one class on its localization map: where a user wants boxes and has no ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from scipy import ndimage
from torch import Tensor

from advcam.errors import SettingsError
from advcam.localize.normalize import protocol_map
from advcam.localize.settings import LocalizeSettings
from advcam.refine.threshold import BINS
from advcam.saliency.threshold import best_cut, between_variance

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
    settings: LocalizeSettings | None = None,
    *,
    name: str = "the image",
) -> Objects:
    """One box for each 8-connected component of what exceeds the threshold on the map.

    The map is brought to the size of the image (bicubic) and normalized. Unlike the benchmark's boxes these are
    exact, holes make none, small components are left out, and boxes that lie in one another become one. A map that is
    constant or has a NaN has no objects.

    Args:
        score_map: the map of the class, any size and range.

    Raises:
        DataError: the map is empty or infinite.
        SettingsError: the threshold is "swept", which takes ground truth: ``advcam localize`` has it.

    >>> import torch
    >>> score_map = torch.zeros(8, 8)
    >>> score_map[1:4, 1:4], score_map[5:8, 6:8] = 1.0, 0.6
    >>> find_objects(score_map, (8, 8)).boxes.tolist()
    [[1, 1, 4, 4], [6, 5, 8, 8]]
    """
    settings = settings or LocalizeSettings()
    scores = protocol_map(score_map, *image_size, settings.normalization, name).numpy()
    return objects_above(scores, _threshold(scores, settings), settings)


def objects_above(scores: Float64[np.ndarray, "H W"], threshold: float, settings: LocalizeSettings) -> Objects:
    """The second half of :func:`find_objects`: the components of a map in [0, 1] that exceed a threshold."""
    labels, count = ndimage.label(scores > threshold, _EIGHT_NEIGHBOURS)
    if not count:
        return Objects(torch.zeros(0, 4, dtype=torch.int64), torch.zeros(0, dtype=torch.float64), threshold)
    areas = np.bincount(labels.ravel())[1:]
    peaks = np.asarray(ndimage.maximum(scores, labels, np.arange(1, count + 1)))
    boxes = np.array([(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(labels)])
    large = areas >= settings.min_area * areas.max()
    boxes, peaks, areas = boxes[large], peaks[large], areas[large]
    if settings.merge is not None:
        boxes, peaks, areas = merged(boxes, peaks, areas, settings.merge)
    kept = np.lexsort((-areas, -peaks))[: settings.max_objects]
    return Objects(torch.from_numpy(boxes[kept]), torch.from_numpy(peaks[kept]), threshold)


def merged(
    boxes: Int64[np.ndarray, "m 4"], peaks: Float64[np.ndarray, " m"], areas: Int64[np.ndarray, " m"], share: float
) -> tuple[Int64[np.ndarray, "k 4"], Float64[np.ndarray, " k"], Int64[np.ndarray, " k"]]:
    """Boxes of which one lies in the other by ``share`` of the smaller one become the box around both, until none do.

    The merged box has the higher peak of the two, and both areas.

    >>> boxes = np.array([[0, 0, 10, 10], [8, 8, 12, 10], [20, 0, 22, 2]])
    >>> found, peaks, areas = merged(boxes, np.array([0.7, 1.0, 0.5]), np.array([50, 6, 4]), share=0.5)
    >>> found.tolist(), peaks.tolist(), areas.tolist()
    ([[20, 0, 22, 2], [0, 0, 12, 10]], [0.5, 1.0], [4, 56])
    """
    pending = list(zip(boxes.tolist(), peaks.tolist(), areas.tolist(), strict=True))
    done: list[tuple[list[int], float, int]] = []
    while pending:
        box, peak, area = pending.pop(0)
        other = next((other for other in (*pending, *done) if _overlap(box, other[0]) >= share), None)
        if other is None:
            done.append((box, peak, area))
            continue
        (pending if other in pending else done).remove(other)
        around = [*map(min, box[:2], other[0][:2]), *map(max, box[2:], other[0][2:])]
        pending.append((around, max(peak, other[1]), area + other[2]))
    found = [np.array(column) for column in zip(*done, strict=True)]
    return found[0], found[1], found[2]


def _overlap(a: list[int], b: list[int]) -> float:
    """The common area as a share of the smaller box."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (a, b))
    return max(0, width) * max(0, height) / smaller


def _threshold(scores: Float64[np.ndarray, "H W"], settings: LocalizeSettings) -> float:
    if settings.threshold == "swept":
        raise SettingsError("localize.threshold swept takes ground truth: give a number or auto")
    if settings.threshold != "auto":
        return float(settings.threshold) * float(scores.max())
    counts = np.bincount(np.minimum((scores * BINS).astype(np.int64), BINS - 1).ravel(), minlength=BINS)
    return best_cut(between_variance(counts)) / BINS
