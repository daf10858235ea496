"""From a raw localization map to the score map on which the WSOL benchmark looks for boxes and pixels."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from advcam.errors import DataError
from advcam.localize.normalize import normalize
from advcam.localize.resize import bicubic
from advcam.localize.settings import Normalization


def protocol_map(
    score_map: Float[Tensor, "h w"], height: int, width: int, normalization: Normalization, name: str
) -> Float64[Tensor, "{height} {width}"]:
    """The map in double precision, resized (bicubic) and then brought into [0, 1], on the CPU.

    A map with a NaN, or of one value everywhere, becomes zeros, as in the benchmark. ``name`` is that of the image,
    for errors.

    >>> import torch
    >>> protocol_map(torch.eye(2), 4, 4, "min-max", "a.jpg")[0]
    tensor([1.0000, 0.7258, 0.2742, 0.0000], dtype=torch.float64)
    """
    if score_map.ndim != 2 or not score_map.numel():
        raise DataError(f"{name}: a score map must have height and width, but its shape is {tuple(score_map.shape)}")
    values = score_map.detach().to("cpu", torch.float64)
    if values.isinf().any():
        raise DataError(f"{name}: the score map has an infinite value; look for an overflow in the classifier")
    if values.isnan().any() or values.min() == values.max():
        # Before the resize, whose rounding would make a pattern of a constant.
        return torch.zeros(height, width, dtype=torch.float64)
    if values.shape != (height, width):
        values = torch.from_numpy(bicubic(values.numpy(), height, width))
    if normalization == "none":
        # Between the pixels of a map within [0, 1] a bicubic curve overshoots a little.
        if score_map.min() < 0 or score_map.max() > 1:
            raise DataError(f"{name}: a score map that is not to be normalized must be within [0, 1]")
        return values.clamp(0, 1)
    return normalize(values, normalization)
