"""Ways to bring a localization map into [0, 1] before boxes are read off it."""

from __future__ import annotations

from typing import get_args

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from advcam.errors import DataError, SettingsError
from advcam.localize.resize import bicubic
from advcam.localize.settings import Normalization
from advcam.models.ranges import min_max as min_max

PAS_QUANTILE = 0.9
IVR_QUANTILE = 0.6


def maximum(score_map: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """ReLU(m) divided by its maximum. A map that is constant, has a NaN or is nowhere positive becomes zeros.

    >>> import torch
    >>> maximum(torch.tensor([[-1.0, 1.0, 4.0]]))
    tensor([[0.0000, 0.2500, 1.0000]])
    """
    return _to_one(score_map.clamp(min=0)) if not _is_void(score_map) else torch.zeros_like(score_map)


def pas(score_map: Float[Tensor, "h w"], quantile: float = PAS_QUANTILE) -> Float[Tensor, "h w"]:
    """Percentile as a standard: m - min m, divided by its value at rank floor(0.9 N) from below, and at most 1.

    Where that value is 0 every pixel above the minimum becomes 1. A map that is constant or has a NaN becomes zeros.

    Source: Bae et al., "Rethinking Class Activation Mapping for Weakly Supervised Object Localization", 2020.

    >>> import torch
    >>> pas(torch.arange(10.0).reshape(2, 5) - 4).flatten()[[0, 3, 8, 9]]
    tensor([0.0000, 0.3333, 0.8889, 1.0000])
    """
    if _is_void(score_map):
        return torch.zeros_like(score_map)
    shifted = score_map - score_map.min()
    standard = _at_rank(shifted, quantile)
    return (shifted / standard).clamp(max=1) if standard > 0 else (shifted > 0).to(shifted.dtype)


def ivr(score_map: Float[Tensor, "h w"], quantile: float = IVR_QUANTILE) -> Float[Tensor, "h w"]:
    """Infimum of the relevant values: m less its value at rank floor(0.6 N) from below, ReLU, divided by the maximum.

    A map that is constant, has a NaN or has nothing above that rank becomes zeros.

    Source: Kim et al., "Normalization Matters in Weakly Supervised Object Localization", 2021.

    >>> import torch
    >>> ivr(torch.arange(10.0).reshape(2, 5)).flatten()[[0, 6, 7, 9]]
    tensor([0.0000, 0.0000, 0.3333, 1.0000])
    """
    if _is_void(score_map):
        return torch.zeros_like(score_map)
    return _to_one((score_map - _at_rank(score_map, quantile)).clamp(min=0))


def normalize(score_map: Float[Tensor, "h w"], normalization: Normalization) -> Float[Tensor, "h w"]:
    """The map in [0, 1] by the normalization of that name; ``"none"`` gives it back as it is.

    >>> import torch
    >>> normalize(torch.tensor([[-1.0, 1.0, 4.0]]), "max")
    tensor([[0.0000, 0.2500, 1.0000]])
    """
    match normalization:
        case "min-max":
            return min_max(score_map)
        case "max":
            return maximum(score_map)
        case "pas":
            return pas(score_map)
        case "ivr":
            return ivr(score_map)
        case "none":
            return score_map
    raise SettingsError(f"normalization must be one of {', '.join(get_args(Normalization))}, not {normalization!r}")


def _is_void(score_map: Tensor) -> bool:
    """True for a map without information: a NaN (which fails every comparison) or one value everywhere."""
    return not bool(score_map.min() < score_map.max())


def _at_rank(score_map: Tensor, quantile: float) -> Tensor:
    return score_map.flatten().sort().values[int(score_map.numel() * quantile)]


def _to_one(score_map: Tensor) -> Tensor:
    highest = score_map.max()
    return score_map / highest if highest > 0 else torch.zeros_like(score_map)


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
