"""Maps between their own extremes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def min_max(maps: Float[Tensor, "*n h w"]) -> Float[Tensor, "*n h w"]:
    """Each map in [0, 1] between its own extremes; one that is constant or has a NaN becomes zeros.

    >>> min_max(torch.tensor([[[1.0, 3.0]], [[2.0, 2.0]]])).tolist()
    [[[0.0, 1.0]], [[0.0, 0.0]]]
    """
    low, high = maps.amin(dim=(-2, -1), keepdim=True), maps.amax(dim=(-2, -1), keepdim=True)
    width = high - low
    return torch.where(width > 0, (maps - low) / width.clamp(min=torch.finfo(maps.dtype).tiny), 0.0)
