"""DeepLab-v2 (Chen et al., 2018): a dilated backbone, atrous spatial pyramid pooling, several image scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ASPP(nn.Module):
    """The sum of 3 x 3 convolutions with different dilations, each with a bias; weights N(0, 0.01), biases 0."""

    def __init__(self, channels: int, num_labels: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(channels, num_labels, 3, padding=rate, dilation=rate) for rate in rates)
        for branch in self.branches:
            assert isinstance(branch, nn.Conv2d)
            assert branch.bias is not None
            nn.init.normal_(branch.weight, std=0.01)
            nn.init.zeros_(branch.bias)

    def forward(self, features: Float[Tensor, "n C h w"]) -> Float[Tensor, "n K h w"]:
        return torch.stack([branch(features) for branch in self.branches]).sum(dim=0)


class DeepLab(nn.Module):
    """Logits on the backbone's grid, the highest over the image at its own size and at smaller ones.

    Args:
        features: the backbone, ``Float[n 3 H W]`` to ``Float[n C h w]``.
        rates: dilations of the head.
        pyramid: factors of the smaller images; none for one pass.

    >>> net = DeepLab(nn.Conv2d(3, 8, 3, stride=16, padding=1), 8, 5, rates=(1, 2), pyramid=(0.5,))
    >>> [tuple(logits.shape) for logits in net.pyramid_logits(torch.zeros(1, 3, 65, 97))]
    [(1, 5, 5, 7), (1, 5, 2, 3), (1, 5, 5, 7)]
    """

    def __init__(
        self,
        features: nn.Module,
        channels: int,
        num_labels: int,
        rates: Sequence[int] = (6, 12, 18, 24),
        pyramid: Sequence[float] = (0.5, 0.75),
    ) -> None:
        super().__init__()
        self.backbone = features
        self.aspp = ASPP(channels, num_labels, rates)
        self.pyramid = tuple(pyramid)

    def forward(self, images: Float[Tensor, "n 3 H W"]) -> Float[Tensor, "n K h w"]:
        """The fused logits."""
        return self.pyramid_logits(images)[-1]

    def pyramid_logits(self, images: Float[Tensor, "n 3 H W"]) -> list[Float[Tensor, "n K _ _"]]:
        """The logits of the image at its own size, of each smaller one on its own grid, and, if there are any, the
        highest of all on the first grid: what the training's losses are of."""
        own = self.aspp(self.backbone(images))
        smaller = [self.aspp(self.backbone(_scaled(images, factor))) for factor in self.pyramid]
        if not smaller:
            return [own]
        fused = own
        for maps in smaller:
            enlarged = nn.functional.interpolate(maps, own.shape[-2:], mode="bilinear", align_corners=False)
            fused = torch.maximum(fused, enlarged)
        return [own, *smaller, fused]


def _scaled(images: Float[Tensor, "n 3 H W"], factor: float) -> Float[Tensor, "n 3 h w"]:
    """The image at a factor of its size, cut to whole pixels; sampled at exactly that factor, as the program does."""
    return nn.functional.interpolate(images, scale_factor=factor, mode="bilinear", align_corners=False)
