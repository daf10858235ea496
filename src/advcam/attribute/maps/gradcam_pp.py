"""Grad-CAM++ (Chattopadhay et al. 2018), the map of Table 12: cells that raise the score weigh by how few they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from advcam.attribute.maps.gradient import GradientMap

# Guard of the division, as in pytorch-grad-cam.
EPS = 1e-6


def gradcam_pp_weights(f_PChw: Float[Tensor, "p C h w"], g_PChw: Float[Tensor, "p C h w"]) -> Float[Tensor, "p C 1 1"]:
    """``sum of alpha ReLU(g)`` with ``alpha = g^2 / (2 g^2 + g^3 sum f)`` (their eq. 19, for an exponential score)."""
    # Cubes of gradients are below half precision.
    wide = torch.promote_types(f_PChw.dtype, torch.float32)
    kind, f_PChw, g_PChw = f_PChw.dtype, f_PChw.to(wide), g_PChw.to(wide)
    sum_PC11 = f_PChw.sum(dim=(2, 3), keepdim=True)
    alpha_PChw = g_PChw**2 / (2 * g_PChw**2 + sum_PC11 * g_PChw**3 + EPS)
    alpha_PChw = torch.where(g_PChw != 0, alpha_PChw, 0.0)
    return (alpha_PChw * g_PChw.relu()).sum(dim=(2, 3), keepdim=True).to(kind)


def GradCAMpp(model: nn.Module, layer: str | Sequence[str], **options: Any) -> GradientMap:
    """Grad-CAM++ of a layer; options as in ``GradientMap``."""
    return GradientMap(model, layer, gradcam_pp_weights, **options)
