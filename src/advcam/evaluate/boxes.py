"""Box accuracy of weakly supervised object localization: MaxBoxAccV2, MaxBoxAcc, GT-known Loc and Top-1 Loc.

Shape suffixes: M over all contours, the largest alone; D levels of intersection over union; T thresholds tau;
L grey levels; N images; H, W the map.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from advcam.data.pixels import takes_arrays
from advcam.errors import DataError
from advcam.evaluate.boxes_iou import Boxes, ImageSize, boxes_on_map, level_ious
from advcam.evaluate.boxes_result import GT_KNOWN, BoxCurves, BoxScores
from advcam.evaluate.settings import BoxAccSettings, ScoreMapSettings
from advcam.localize.levels import quantize
from advcam.localize.normalize import protocol_map

ScoreMap = Float[Tensor, "_ _"] | Float[np.ndarray, "_ _"]


_MISSING = object()


def max_box_acc(
    score_maps: Iterable[ScoreMap],
    boxes: Iterable[Boxes],
    image_sizes: Iterable[ImageSize],
    iou: Sequence[int] = BoxAccSettings.iou,
    *,
    classified: Iterable[bool] | None = None,
    maps: ScoreMapSettings = BoxAccSettings.maps,
) -> BoxScores:
    """MaxBoxAccV2 and its kin: the accuracy of the boxes of the maps at the best CAM threshold.

    Each map is widened to double, resized to 224 x 224 (bicubic), brought into [0, 1] (min-max) and read at all of
    its grey levels; true boxes are moved to the resized picture. Arguments may be generators: nothing is kept of an
    image but its best intersection over union.

    Args:
        score_maps: per image the map of its true class, any size and range.
        boxes: per image the true boxes x0, y0, x1, y1 in pixels of the image, at least one.
        image_sizes: per image W, H in pixels, as the benchmark's ``image_sizes.txt`` has them; everywhere else in this
            library height comes first.
        iou: levels delta of intersection over union, in percent.
        classified: per image whether the classifier's first class is right; adds Top-1 Cls and Top-1 Loc.
        maps: how the maps are read: thresholds, size, normalization.

    Returns:
        A :class:`BoxScores`; ``.v2[50]``, ``.mean``, ``.v1``, ``.thresholds`` and the curves behind them.

    Raises:
        DataError: lists of different lengths; no images; a map that is empty or infinite; boxes outside their image.

    Source: Choe et al., "Evaluation for Weakly Supervised Object Localization: Protocol, Metrics, and Datasets",
    2020, as its program wsolevaluation computes it.

    >>> import torch
    >>> y, x = torch.meshgrid(torch.arange(14.0), torch.arange(14.0), indexing="ij")
    >>> bump = torch.exp(-((x - 5) ** 2 + (y - 8) ** 2) / 8)
    >>> scores = max_box_acc([bump], [[(60, 100, 120, 180)]], [(224, 224)])
    >>> scores.v2, scores.thresholds[70]
    ({30: 100.0, 50: 100.0, 70: 100.0}, 0.463)
    """
    accuracy = BoxAccuracy(BoxAccSettings(tuple(iou), maps))
    columns: dict[str, Iterable[Any]] = {"score_maps": score_maps, "boxes": boxes, "image_sizes": image_sizes}
    if classified is not None:
        columns["classified"] = classified
    for index, (score_map, true_boxes, image_size, *right) in enumerate(per_image(**columns)):
        flag = bool(right[0]) if right else None
        height_width = [int(side) for side in image_size][::-1]
        accuracy.update(score_map, true_boxes, height_width, flag, name=f"image {index}")
    return accuracy.compute()


def per_image(**columns: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    """The entries of each image in turn; the columns may be generators.

    >>> list(per_image(maps="ab", boxes=[1, 2]))
    [('a', 1), ('b', 2)]
    """
    for index, row in enumerate(zip_longest(*columns.values(), fillvalue=_MISSING)):
        missing = [name for name, value in zip(columns, row, strict=True) if value is _MISSING]
        if missing:
            raise DataError(f"image {index} has no entry in {' and '.join(missing)}; all must have one entry per image")
        yield row


class BoxAccuracy:
    """:func:`max_box_acc` image by image, for data that do not fit in memory.

    >>> import torch
    >>> accuracy = BoxAccuracy()
    >>> accuracy.update(torch.eye(14), [(0, 0, 100, 100)], (100, 100), classified=True)
    >>> accuracy.update(torch.zeros(14, 14), [(40, 40, 60, 60)], (100, 100), classified=False)
    >>> accuracy.compute().v1, accuracy.compute().top1_loc
    (50.0, 50.0)
    """

    def __init__(self, settings: BoxAccSettings | None = None) -> None:
        self.settings = settings or BoxAccSettings()
        self._deltas = tuple(sorted({*self.settings.iou, GT_KNOWN}))
        self._tau_T = np.arange(0, 1, self.settings.maps.step)
        self._hits_MDT = np.zeros((2, len(self._deltas), len(self._tau_T)), dtype=np.int64)
        self._classified_hits_T = np.zeros(len(self._tau_T), dtype=np.int64)
        self._classified: list[bool | None] = []
        self._best_iou: list[tuple[float, float]] = []

    @takes_arrays
    def update(
        self,
        score_map: Float[Tensor, "h w"],
        boxes: Boxes,
        image_size: ImageSize,
        classified: bool | None = None,
        *,
        name: str | None = None,
    ) -> None:
        """Add one image; the arguments are those of :func:`max_box_acc`, but for ``image_size`` in the order H, W.

        Raises:
            DataError: the map is empty, infinite or not of two dimensions; a box is outside the image or swapped;
                or some images come with ``classified`` and some without.
        """
        name = f"image {len(self._best_iou)}" if name is None else name
        if self._classified and (classified is None) != (self._classified[0] is None):
            raise DataError(f"{name}: either every image says whether its class is right, or none does")
        maps = self.settings.maps
        truth = boxes_on_map(boxes, image_size, maps.size, name)
        grey_HW = quantize(protocol_map(score_map, maps.size, maps.size, maps.normalization, name))
        curves_ML = np.stack(level_ious(grey_HW, truth))
        ious_MT = curves_ML[:, (self._tau_T * int(grey_HW.max())).astype(np.int64)]
        hits_MDT = ious_MT[:, None] >= np.array(self._deltas)[:, None] / 100
        self._hits_MDT += hits_MDT
        if classified:
            self._classified_hits_T += hits_MDT[0, self._deltas.index(GT_KNOWN)]
        self._classified.append(classified)
        self._best_iou.append((float(ious_MT[0].max()), float(ious_MT[1].max())))

    def hits(self) -> tuple[Int[Tensor, "d t"], Int[Tensor, " t"]]:
        """Images right so far over all contours, at each level of ``settings.iou`` and each threshold, and at 50 those
        of which the class is right as well.
        """
        rows = [self._deltas.index(delta) for delta in self.settings.iou]
        return torch.from_numpy(self._hits_MDT[0, rows]), torch.from_numpy(self._classified_hits_T)

    def compute(self) -> BoxScores:
        """The scores of all images so far.

        Raises:
            DataError: there was no image.
        """
        count = len(self._best_iou)
        if not count:
            raise DataError("box accuracy needs at least one image")
        percent_MDT = torch.from_numpy(self._hits_MDT * 100.0 / count)
        best_iou_MN = torch.tensor(self._best_iou, dtype=torch.float64).T
        tau_T = torch.from_numpy(self._tau_T)
        curves = [
            BoxCurves(tau_T, dict(zip(self._deltas, percent_DT, strict=True)), best_iou_N)
            for percent_DT, best_iou_N in zip(percent_MDT, best_iou_MN, strict=True)
        ]
        top1_cls = top1_loc_T = None
        if self._classified[0] is not None:
            top1_cls = sum(map(bool, self._classified)) * 100.0 / count
            top1_loc_T = torch.from_numpy(self._classified_hits_T * 100.0 / count)
        return BoxScores(self.settings.iou, curves[0], curves[1], top1_cls, top1_loc_T)
