"""Maps between their own extremes, at other sizes, and in a precision that sums and logarithms bear."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate


def min_max(maps: Float[Tensor, "*n h w"]) -> Float[Tensor, "*n h w"]:
    """Each map in [0, 1] between its own extremes; one that is constant or has a NaN becomes zeros.

    >>> min_max(torch.tensor([[[1.0, 3.0]], [[2.0, 2.0]]])).tolist()
    [[[0.0, 1.0]], [[0.0, 0.0]]]
    """
    low, high = maps.amin(dim=(-2, -1), keepdim=True), maps.amax(dim=(-2, -1), keepdim=True)
    width = high - low
    return torch.where(width > 0, (maps - low) / width.clamp(min=torch.finfo(maps.dtype).tiny), 0.0)


def at_least_single(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Half precision as single precision, whose logarithms and powers are of use; single and double as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def bilinear(
    maps: Float[Tensor, "n c _ _"], size: tuple[int, ...], align_corners: bool = False
) -> Float[Tensor, "n c _ _"]:
    """Maps at another height and width; untouched at their own."""
    if maps.shape[2:] == size:
        return maps
    return interpolate(maps, size, mode="bilinear", align_corners=align_corners)
