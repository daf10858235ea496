"""IRN's network: a branch for edges and one for displacements, on the taps of a frozen backbone.

Shapes: ``n`` images of ``H x W`` pixels; ``h w`` the grid of one cell per 4 pixels, ``(H - 1) // 4 + 1`` high.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from advcam.errors import ModelError
from advcam.models.taps import TappedBackbone
from advcam.refine.irn_settings import STRIDE

# Strides up to this one are looked at on the fine grid; coarser maps meet on the grid of this stride first.
_COARSE = 8


class IRNOutput(NamedTuple):
    """What the network says of a batch."""

    edge_logits: Float[Tensor, "n h w"]
    """Of a boundary between classes, before the sigmoid."""
    displacements: Float[Tensor, "n 2 h w"]
    """``(dy, dx)`` in cells, from each cell towards the centroid of its object."""


class IRNNetwork(nn.Module):
    """Edges and displacements of a batch of images (IRN paper, section 4; Figure 3).

    On the five taps of ``irn_resnet50`` it is the reference program's network, layer for layer: 125,409 weights in
    the edge branch, 1,269,120 in the displacement branch. On other backbones the same two branches stand on whatever
    taps there are: maps finer than 4 pixels per cell are averaged down to it, coarser ones resized up.

    The backbone never learns and always runs with its stored statistics; its maps are cut from the graph.

    Args:
        taps: its modules become this network's.
    """

    def __init__(self, taps: TappedBackbone) -> None:
        super().__init__()
        if not min(taps.strides) <= STRIDE < max(taps.strides):
            raise ModelError(
                f"{taps.architecture} has feature maps at {', '.join(map(str, taps.strides))} pixels per cell, but "
                f"IRN needs one at {STRIDE} or less and a coarser one: take irn_resnet50 or mobilenet_v2"
            )
        self.taps = taps.requires_grad_(False)
        self.edge = EdgeBranch(taps.channels, taps.strides)
        self.displacement = DisplacementBranch(taps.channels, taps.strides)
        self.register_buffer("mean_shift", torch.zeros(2))
        self.mean_shift: Tensor
        self.train(self.training)

    def train(self, mode: bool = True) -> IRNNetwork:
        super().train(mode)
        self.taps.eval()
        return self

    def forward(self, images: Float[Tensor, "n 3 H W"]) -> IRNOutput:
        """Of images in the backbone's input space. In evaluation mode ``mean_shift`` is taken off the displacements."""
        with torch.no_grad():
            maps = self.taps(images)
        grid = cells(images.shape[-2], STRIDE), cells(images.shape[-1], STRIDE)
        coarse = cells(images.shape[-2], _COARSE), cells(images.shape[-1], _COARSE)
        displacements = self.displacement(maps, grid, coarse)
        if not self.training:
            displacements = displacements - self.mean_shift[:, None, None]
        return IRNOutput(self.edge(maps, grid), displacements)


class EdgeBranch(nn.Module):
    """The logit of an edge from all taps."""

    WIDTH, GROUPS = 32, 4

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...]) -> None:
        super().__init__()
        self.strides = strides
        self.rows = nn.ModuleList(Row(count, self.WIDTH, self.GROUPS) for count in channels)
        self.out = nn.Conv2d(self.WIDTH * len(channels), 1, 1)

    def forward(self, maps: list[Tensor], grid: tuple[int, int]) -> Float[Tensor, "n h w"]:
        seen = [
            row(values, stride / STRIDE, grid)
            for row, values, stride in zip(self.rows, maps, self.strides, strict=True)
        ]
        return self.out(torch.cat(seen, dim=1))[:, 0]


class DisplacementBranch(nn.Module):
    """The displacement towards an object's centroid: coarse taps first meet among themselves."""

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...]) -> None:
        super().__init__()
        self.strides = strides
        self.num_fine = sum(stride <= STRIDE for stride in strides)
        fine, coarse = channels[: self.num_fine], channels[self.num_fine :]
        widths = [64] * (len(fine) - 1) + [128]
        self.fine = nn.ModuleList(
            Row(count, width, 8 if width == 64 else 16) for count, width in zip(fine, widths, strict=True)
        )
        self.coarse = nn.ModuleList(Row(count, 256, 16) for count in coarse)
        self.join = Row(256 * len(coarse), 256, 16)
        self.mix = Row(sum(widths) + 256, 256, 16)
        self.out = nn.Conv2d(256, 2, 1, bias=False)

    def forward(
        self, maps: list[Tensor], grid: tuple[int, int], coarse_grid: tuple[int, int]
    ) -> Float[Tensor, "n 2 h w"]:
        fine = [
            row(values, stride / STRIDE, grid)
            for row, values, stride in zip(self.fine, maps, self.strides[: self.num_fine], strict=False)
        ]
        coarse = [
            row(values, stride / _COARSE, coarse_grid)
            for row, values, stride in zip(
                self.coarse, maps[self.num_fine :], self.strides[self.num_fine :], strict=True
            )
        ]
        fine.append(self.join(torch.cat(coarse, dim=1), _COARSE / STRIDE, grid))
        return self.out(self.mix(torch.cat(fine, dim=1), 1, grid))


class Row(nn.Module):
    """A 1 x 1 convolution, group normalisation, a change of resolution, a ReLU."""

    def __init__(self, channels: int, width: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 1, bias=False)
        self.norm = nn.GroupNorm(groups, width)

    def forward(self, values: Tensor, factor: float, size: tuple[int, int]) -> Tensor:
        """At ``factor`` times the resolution, cropped to ``size``."""
        return to_grid(self.norm(self.conv(values)), factor, size).relu()


def cells(side: int, stride: int) -> int:
    """Cells along a side of so many pixels.

    >>> cells(375, 4), cells(1, 4)
    (94, 1)
    """
    return (side - 1) // stride + 1


def to_grid(values: Float[Tensor, "n c _ _"], factor: float, size: tuple[int, int]) -> Float[Tensor, "n c _ _"]:
    """A map at ``factor`` times its resolution, cropped to ``size``.

    Up by bilinear interpolation with half-pixel centres, as the reference program does it; down by means. A map that
    does not reach ``size`` then, as those of networks without padding, is stretched to it.
    """
    if factor > 1:
        values = functional.interpolate(values, scale_factor=factor, mode="bilinear", align_corners=False)
    elif factor < 1:
        values = functional.avg_pool2d(values, round(1 / factor), ceil_mode=True, count_include_pad=False)
    if values.shape[-2] < size[0] or values.shape[-1] < size[1]:
        return functional.interpolate(values, size, mode="bilinear", align_corners=False)
    return values[..., : size[0], : size[1]]
