"""The pyramid pooling module of PSPNet (Zhao et al., CVPR 2017), as CCT's encoder ends in it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

BINS = (1, 2, 3, 6)


class PyramidPooling(nn.Module):
    """Features with context: means over 1, 4, 9 and 36 parts of the image, beside the features themselves.

    Each mean passes a 1x1 convolution to ``width`` channels, batch norm and ReLU and is enlarged bilinearly; a 3x3
    convolution with batch norm and ReLU brings all to ``width`` channels. The names of the parameters are those of
    the CCT program, and so is ``align_corners=False`` (in every public version of it that could be looked at).

    Args:
        width: channels after it; a quarter of ``channels`` in CCT.

    >>> module = PyramidPooling(2048, 512)
    >>> sum(parameter.numel() for parameter in module.parameters())
    23073792
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(MeanOfParts(parts), *_convolution(channels, width, 1)) for parts in BINS
        )
        self.bottleneck = nn.Sequential(*_convolution(channels + len(BINS) * width, width, 3))

    def forward(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n width h w"]:
        size = features.shape[-2:]
        context = [F.interpolate(stage(features), size, mode="bilinear", align_corners=False) for stage in self.stages]
        return self.bottleneck(torch.cat([features, *context], dim=1))


class MeanOfParts(nn.Module):
    """What ``nn.AdaptiveAvgPool2d`` computes, as two matrix products: ONNX takes that at any size.

    >>> MeanOfParts(2)(torch.arange(6.0).view(1, 1, 2, 3))
    tensor([[[[0.5000, 1.5000],
              [3.5000, 4.5000]]]])
    """

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c parts parts"]:
        return self._shares(features, 2) @ features @ self._shares(features, 3).T

    def _shares(self, features: Tensor, axis: int) -> Float[Tensor, "parts cells"]:
        """What each row or column adds to the mean of each part; parts overlap where they do not divide the length."""
        length = features.shape[axis]
        part = torch.arange(self.parts, device=features.device)[:, None]
        cell = torch.arange(length, device=features.device)
        first, end = part * length // self.parts, ((part + 1) * length + self.parts - 1) // self.parts
        inside = ((cell >= first) & (cell < end)).to(features.dtype)
        return inside / inside.sum(dim=1, keepdim=True)


def _convolution(channels: int, width: int, kernel: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    convolution = nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False)
    return convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)
