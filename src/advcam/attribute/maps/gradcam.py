"""Grad-CAM (Selvaraju et al. 2017): one weight per channel, the gradient of the score summed over the cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from advcam.attribute.maps.gradient import GradientMap


def gradcam_weights(f_PChw: Float[Tensor, "p C h w"], g_PChw: Float[Tensor, "p C h w"]) -> Float[Tensor, "p C 1 1"]:
    """The sum, where the paper has the mean: then a map's mean is about the score. It cancels in a finished map."""
    return g_PChw.sum(dim=(2, 3), keepdim=True)


def GradCAM(model: nn.Module, layer: str | Sequence[str], **options: Any) -> GradientMap:
    """Grad-CAM of a layer; options as in ``GradientMap``.

    >>> import torch, torchvision
    >>> map_ = GradCAM(torchvision.models.resnet18(), "layer4")
    >>> map_.see(torch.randn(2, 1, 3, 64, 96).requires_grad_(), torch.tensor([0, 3])).maps.shape
    torch.Size([2, 1, 2, 3])
    """
    return GradientMap(model, layer, gradcam_weights, **options)
