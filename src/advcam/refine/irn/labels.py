"""Pseudo labels at the resolution of IRN's pairs. What pairs they make: ``refine.pairs.pair_labels``."""

from __future__ import annotations

from jaxtyping import Integer
from torch import Tensor

from advcam.errors import DataError


def reduced_labels(labels: Integer[Tensor, "*n H W"], stride: int = 4) -> Integer[Tensor, "*n h w"]:
    """A label map at the resolution of the edge map: the label at the middle of each cell (nearest neighbour).

    Args:
        labels: 0 background, class + 1, 255 ignore; sides are multiples of ``stride``.
        stride: pixels per cell.

    Raises:
        DataError: a side is not a multiple of the stride.

    >>> import torch
    >>> reduced_labels(torch.arange(32).reshape(4, 8))
    tensor([[18, 22]])
    """
    if labels.shape[-2] % stride or labels.shape[-1] % stride:
        raise DataError(
            f"a label map of {labels.shape[-2]} x {labels.shape[-1]} pixels cannot be reduced by {stride}: "
            f"crop or pad it to multiples of {stride}"
        )
    return labels[..., stride // 2 :: stride, stride // 2 :: stride]
