"""Background thresholds without masks, beside Otsu's: agreement with class-agnostic regions, and stability.

Both look at {value > t} for every threshold t at once, from counts of the highest map value of each pixel in bins.

*Agreement*: a good mask is nearly made of whole regions. Each region goes to the side that most of it is on, and the
mask is compared with what that gives: the mean of the IoUs of foreground and background, over images. Murtaza et al.,
"A Realistic Protocol for Evaluation of Weakly Supervised Object Localization" (2024), choose thresholds by boxes of
region proposals in place of true ones; this is the same thought for masks.

*Stability*: a good threshold can be moved a little without moving the mask: the IoU of the masks at ``t - delta`` and
``t + delta``, the mean of foreground and background, over images (SAM's criterion for its own masks, for both sides).

Shape suffixes: B bins of [0, 1], R regions, T = B - 1 thresholds between bins.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64, Int64, Integer
from torch import Tensor

from advcam.errors import DataError
from advcam.refine.threshold import BINS


def binned(maps: Float[Tensor, "k H W"]) -> Int64[Tensor, "H W"]:
    """The bin of each pixel's highest value; bin b is [b, b + 1) / 100, and 1 belongs to the last one.

    >>> binned(torch.tensor([[[0.0, 0.305, 1.0]], [[0.0, 0.1, 0.2]]]))
    tensor([[ 0, 30, 99]])
    """
    return (maps.amax(dim=0) * BINS).floor().clamp(0, BINS - 1).long()


def agreements(bins: Int64[Tensor, "H W"], regions: Integer[Tensor, "*s _ _"]) -> Float64[Tensor, " T"]:
    """Agreement of one image's foreground with its regions at the thresholds 0.01, 0.02 ... 0.99.

    Args:
        regions: label maps; of several partitions the mean. Pixels in no region (0 or less) are one more region.

    >>> bins = torch.tensor([[10, 10, 60, 60]])
    >>> agreements(bins, torch.tensor([[1, 1, 2, 2]]))[[4, 49, 89]]
    tensor([0.5000, 1.0000, 0.5000], dtype=torch.float64)
    """
    if bins.shape != regions.shape[-2:]:
        raise DataError(f"regions of shape {tuple(regions.shape)} do not lie over an image of {tuple(bins.shape)}")
    parts = regions if regions.ndim == 3 else regions[None]
    return torch.stack([_of_partition(bins, part) for part in parts]).mean(dim=0)


def stabilities(bins: Int64[Tensor, "H W"], delta: int = 5) -> Float64[Tensor, " T"]:
    """Stability of one image's mask at the thresholds 0.01, 0.02 ... 0.99; 0 where one of the two masks leaves [0, 1].

    Args:
        delta: how far the threshold is moved either way, in hundredths.

    >>> stabilities(torch.tensor([[10, 10, 60, 60]]))[[49, 57]]
    tensor([1.0000, 0.2500], dtype=torch.float64)
    """
    above_T = _above(torch.bincount(bins.flatten(), minlength=BINS).double()[None])[0]
    total = bins.numel()
    stable_T = torch.zeros_like(above_T)
    low_T, high_T = above_T[: -2 * delta], above_T[2 * delta :]
    stable_T[delta:-delta] = (_share(high_T, low_T) + _share(total - low_T, total - high_T)) / 2
    return stable_T


def best_threshold(scores: Float64[Tensor, "n T"]) -> float:
    """The threshold with the highest mean score over the images; the middle one of those that are equal.

    >>> best_threshold(torch.tensor([[0.0, 1.0, 1.0, 1.0, 0.5]], dtype=torch.float64))
    0.03
    """
    mean_T = scores.mean(dim=0)
    best = (mean_T >= mean_T.max() - 1e-12).nonzero().flatten()
    return (int(best[len(best) // 2]) + 1) / BINS


def _of_partition(bins_HW: Tensor, regions_HW: Tensor) -> Float64[Tensor, " T"]:
    index_N = (regions_HW.clamp(min=0).long() * BINS + bins_HW).flatten()
    count = int(regions_HW.clamp(min=0).max()) + 1
    counts_RB = torch.bincount(index_N, minlength=count * BINS).view(count, BINS).double()
    above_RT = _above(counts_RB)
    area_R1 = counts_RB.sum(dim=1, keepdim=True)
    elected_RT = above_RT > area_R1 / 2
    mask_T, voted_T = above_RT.sum(dim=0), (elected_RT * area_R1).sum(dim=0)
    both_T = (elected_RT * above_RT).sum(dim=0)
    neither_T = bins_HW.numel() - mask_T - voted_T + both_T
    foreground_T = _share(both_T, mask_T + voted_T - both_T)
    background_T = _share(neither_T, bins_HW.numel() - both_T)
    return (foreground_T + background_T) / 2


def _above(counts_RB: Tensor) -> Tensor:
    """How many pixels lie above each threshold between two bins."""
    return counts_RB.flip(1).cumsum(1).flip(1)[:, 1:]


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """The part of the whole; an empty mask agrees with nothing."""
    return torch.where(whole > 0, part / whole.clamp(min=1), 0.0)
