"""What AffinityNet learns from: soft labels of the pixels at two amounts of background, made by the dense CRF.

Shape suffixes: k classes of the image, l = k + 1 labels with the background first, H W pixels, h w cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, Int64, UInt8
from torch import Tensor

from advcam.data.masks import IGNORE
from advcam.io.arrays import reading_arrays, write_arrays
from advcam.refine.crf import dense_crf
from advcam.refine.settings import CRFSettings
from advcam.refine.unary import unary_from_scores

# Cells whose scores are all below it lie outside the image.
PADDING_SCORE = 1e-5


@torch.no_grad()
def label_scores(
    image: UInt8[np.ndarray, "H W 3"], maps: Float[Tensor, "k H W"], alpha: float, crf: CRFSettings
) -> Float[Tensor, "k+1 H W"]:
    """Background and class maps after the soft dense CRF: probabilities, which sum to 1 at each pixel.

    The background is ``(1 - max over the class maps)^alpha``: the larger ``alpha``, the less of it.

    Args:
        maps: of the image's classes, in [0, 1], at its size.
        alpha: 4 and 32 in PSA's program; 24 instead of 32 in its paper and in SEAM.
        crf: ``CRFSettings.psa()`` in PSA, SC-CAM and SEAM.

    Raises:
        DataError: image and maps differ in size.

    >>> scores = label_scores(np.zeros((8, 8, 3), np.uint8), torch.full((1, 8, 8), 0.5), 4, CRFSettings.psa())
    >>> scores.shape, scores.sum(dim=0).mean()
    (torch.Size([2, 8, 8]), tensor(1.))
    """
    highest = maps.amax(dim=0, keepdim=True) if len(maps) else maps.new_zeros(1, *maps.shape[1:])
    scores = torch.cat([(1 - highest) ** alpha, maps])
    return dense_crf(torch.from_numpy(image), unary_from_scores(scores), crf)


def affinity_labels(low: Float[Tensor, "l h w"], high: Float[Tensor, "l h w"]) -> Int64[Tensor, "h w"]:
    """Labels of what is sure: 0 background, j + 1 the j-th class, 255 neither sure nor in the image.

    A cell is background where the scores with little background (high ``alpha``) have it in front; else of the class
    that is in front in those with much background (low ``alpha``), unless that is the background as well.

    Args:
        low, high: scores of background and classes, averaged over cells; all zero where a cell is outside the image.

    >>> low = torch.tensor([[[0.1, 0.8, 0.9, 0.0]], [[0.9, 0.2, 0.1, 0.0]]])
    >>> high = torch.tensor([[[0.1, 0.3, 0.8, 0.0]], [[0.9, 0.7, 0.2, 0.0]]])
    >>> affinity_labels(low, high)
    tensor([[  1, 255,   0, 255]])
    """
    labels = low.argmax(dim=0)
    labels = labels.masked_fill(labels == 0, IGNORE).masked_fill(high.argmax(dim=0) == 0, 0)
    return labels.masked_fill(torch.maximum(low.amax(dim=0), high.amax(dim=0)) < PADDING_SCORE, IGNORE)


@dataclass(frozen=True)
class AffinityLabels:
    """The soft labels of one image, as they are kept in a run folder.

    ``classes`` are 0-based and ascending. ``low`` and ``high`` are the probabilities of the classes after the CRF at
    the low and the high ``alpha``; what is missing to 1 is the background's.
    """

    classes: Int[np.ndarray, " k"]
    low: Float[np.ndarray, "k H W"]
    high: Float[np.ndarray, "k H W"]

    @classmethod
    def make(
        cls,
        image: UInt8[np.ndarray, "H W 3"],
        maps: Float[Tensor, "k H W"],
        classes: Int[np.ndarray, " k"],
        alphas: tuple[float, float],
        crf: CRFSettings,
    ) -> AffinityLabels:
        """The labels of an image from its localization maps, at the low and the high ``alpha``."""
        low, high = (label_scores(image, maps, alpha, crf)[1:].half().numpy() for alpha in alphas)
        return cls(classes, low, high)

    def save(self, path: Path) -> None:
        """Write ``path`` (npz, no pickle) in one go: it is whole or it is not there."""
        low, high = self.low.astype(np.float16), self.high.astype(np.float16)
        write_arrays(path, {"classes": self.classes.astype(np.int16), "low": low, "high": high})

    @classmethod
    def load(cls, path: Path) -> AffinityLabels:
        """Read what ``save`` wrote; RunError where the file is missing, cut short or something else."""
        with reading_arrays(path, "file of affinity labels", "refine") as arrays:
            return cls(arrays["classes"].astype(np.int64), arrays["low"], arrays["high"])
