"""LayerCAM (Jiang et al. 2021): every cell of every channel has a weight of its own, so early layers can be mapped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from advcam.attribute.maps.gradient import GradientMap


def layercam_weights(f_PChw: Float[Tensor, "p C h w"], g_PChw: Float[Tensor, "p C h w"]) -> Float[Tensor, "p C h w"]:
    """The positive part of the gradient, times the number of cells: the units of a class activation map."""
    return g_PChw.relu() * (g_PChw.shape[2] * g_PChw.shape[3])


def LayerCAM(model: nn.Module, layer: str | Sequence[str], **options: Any) -> GradientMap:
    """LayerCAM of a layer; options as in ``GradientMap``."""
    return GradientMap(model, layer, layercam_weights, **options)
