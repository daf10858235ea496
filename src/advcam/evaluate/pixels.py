"""Pixel average precision (PxAP): score maps against masks, the WSOL measure for OpenImages.

Shape suffixes: H, W the map; B bins of scores; T thresholds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor

from advcam.errors import DataError
from advcam.evaluate.boxes import per_image
from advcam.evaluate.settings import ScoreMapSettings
from advcam.localize.normalize import protocol_map
from advcam.localize.resize import nearest


@dataclass(frozen=True)
class PixelScores:
    """Precision and recall of the pixels of all images together, over the threshold on the score map.

    ``pxap``: the area under the curve, in percent. ``threshold``: descending from 1; at each, the pixels with a
    score of at least it are foreground. ``precision`` (NaN where no pixel is) and ``recall``: in [0, 1].
    """

    pxap: float
    threshold: Float64[Tensor, " t"]
    precision: Float64[Tensor, " t"]
    recall: Float64[Tensor, " t"]
    num_images: int


def pxap(
    score_maps: Iterable[Float[Tensor, "_ _"] | Float[np.ndarray, "_ _"]],
    masks: Iterable[Shaped[Tensor, "_ _"]],
    ignore: Iterable[Shaped[Tensor, "_ _"]] | None = None,
    maps: ScoreMapSettings | None = None,
) -> PixelScores:
    """PxAP = sum over falling thresholds k of P_k (R_k - R_(k-1)), the pixels of all images counted together.

    Args:
        score_maps: per image the map of its true class, any size and range.
        masks: per image the foreground, all objects together, at any size: values above 0.5, or true.
        ignore: per image the pixels that do not count unless they are foreground, as ``masks``.
        maps: how the maps are read: thresholds, size, normalization.

    Raises:
        DataError: lists of different lengths; a map or mask that is empty; no foreground in any image.

    Source: Choe et al., "Evaluation for Weakly Supervised Object Localization: Protocol, Metrics, and Datasets",
    2020, as its program wsolevaluation computes it.

    >>> import torch
    >>> score_map = torch.tensor([[0.0, 0.1, 0.35, 0.35, 0.8, 1.0, 0.62, 0.05]]).repeat(8, 1)
    >>> mask = torch.tensor([[0, 0, 1, 0, 1, 1, 0, 1]]).repeat(8, 1)
    >>> round(pxap([score_map], [mask], maps=ScoreMapSettings(step=0.1, size=8)).pxap, 6)
    77.5
    """
    accumulator = PixelAP(maps)
    columns: dict[str, Iterable[Any]] = {"score_maps": score_maps, "masks": masks}
    if ignore is not None:
        columns["ignore"] = ignore
    for index, (score_map, *truth) in enumerate(per_image(**columns)):
        accumulator.update(torch.as_tensor(score_map), *map(torch.as_tensor, truth), name=f"image {index}")
    return accumulator.compute()


class PixelAP:
    """:func:`pxap` image by image, for data that do not fit in memory.

    >>> import torch
    >>> accumulator = PixelAP()
    >>> accumulator.update(torch.eye(14), torch.eye(14) > 0)
    >>> accumulator.compute().num_images
    1
    """

    def __init__(self, settings: ScoreMapSettings | None = None) -> None:
        self.settings = settings or ScoreMapSettings()
        # A score of 1 has a bin to itself; the last one stays empty.
        self._edges_B = np.append(np.arange(0, 1, self.settings.step), [1.0, 2.0, 3.0])
        self._foreground_B = np.zeros(len(self._edges_B) - 1, dtype=np.int64)
        self._background_B = np.zeros(len(self._edges_B) - 1, dtype=np.int64)
        self._num_images = 0

    def update(
        self,
        score_map: Float[Tensor, "h w"],
        mask: Shaped[Tensor, "H W"],
        ignore: Shaped[Tensor, "_ _"] | None = None,
        *,
        name: str | None = None,
    ) -> None:
        """Add one image; the arguments are those of :func:`pxap`, ``name`` is said in errors.

        Raises:
            DataError: the map or the mask has no pixels, or the ignored region is not of the mask's size.
        """
        name = f"image {self._num_images}" if name is None else name
        if mask.ndim != 2 or not mask.numel():
            raise DataError(f"{name}: a mask must have height and width, but its shape is {tuple(mask.shape)}")
        if ignore is not None and ignore.shape != mask.shape:
            raise DataError(
                f"{name}: the ignored region must be of the mask's size {tuple(mask.shape)}, not {tuple(ignore.shape)}"
            )
        size = self.settings.size
        scores_HW = protocol_map(score_map, size, size, self.settings.normalization, name).numpy()
        foreground_HW = nearest(mask.cpu().numpy() > 0.5, size, size)
        background_HW = ~foreground_HW
        if ignore is not None:
            background_HW &= ~nearest(ignore.cpu().numpy() > 0.5, size, size)
        bins_HW = np.searchsorted(self._edges_B, scores_HW, side="right") - 1
        self._foreground_B += np.bincount(bins_HW[foreground_HW], minlength=len(self._foreground_B))
        self._background_B += np.bincount(bins_HW[background_HW], minlength=len(self._background_B))
        self._num_images += 1

    def compute(self) -> PixelScores:
        """The scores of all images so far.

        Raises:
            DataError: no image has any foreground.
        """
        if not self._foreground_B.any():
            raise DataError(f"PxAP needs foreground, and the masks of all {self._num_images} images have none")
        right_B = self._foreground_B[::-1].cumsum()
        found_B = right_B + self._background_B[::-1].cumsum()
        some_B = found_B > 0
        precision_B = np.divide(right_B, found_B, out=np.full(len(found_B), np.nan), where=some_B)
        recall_B = right_B / self._foreground_B.sum()
        area = (precision_B[1:] * np.diff(recall_B))[some_B[1:]].sum() * 100
        # The empty last bin comes first here; it is the curve's start, not a threshold.
        return PixelScores(
            pxap=float(area),
            threshold=torch.from_numpy(self._edges_B[-3::-1].copy()),
            precision=torch.from_numpy(precision_B[1:]),
            recall=torch.from_numpy(recall_B[1:]),
            num_images=self._num_images,
        )
