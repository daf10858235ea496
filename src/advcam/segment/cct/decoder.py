"""CCT's decoder: class logits from the encoder's features, enlarged by pixel shuffling. Main and auxiliary ones alike.

Source: the CCT paper's supplement, and its program; pixel shuffling of Shi et al. (CVPR 2016), its initialisation
(ICNR) of Aitken et al. (2017).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from advcam.errors import ModelError


class Decoder(nn.Sequential):
    """A 1x1 convolution to K channels, then one doubling per factor of two of the stride.

    The doublings end in a ReLU, as the program's do, so the logits are never negative. The names of the parameters
    are the program's: ``0.weight``, ``1.conv.weight``, ``1.conv.bias`` ... 16,296 of them for 512 channels, 21
    labels and a stride of 8.

    Args:
        stride: pixels of the image per cell of the features, a power of two.
    """

    def __init__(self, channels: int, num_labels: int, stride: int) -> None:
        super().__init__(*_layers(channels, num_labels, stride))

    def forward(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n K _ _"]:
        # Whole planes per label: the softmax over labels that follows takes half the time in this order.
        return super().forward(features.contiguous())


class Doubling(nn.Module):
    """Twice the height and width: four values per channel by a 1x1 convolution, a ReLU, and each put in its place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * channels, 1)
        icnr_(self.conv.weight)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c 2*h 2*w"]:
        return self.shuffle(self.conv(features).relu())


@torch.no_grad()
def icnr_(weight: Float[Tensor, "c4 c_in rows columns"]) -> None:
    """Start a convolution before a pixel shuffle as nearest-neighbour enlargement: no checkerboard.

    The four output channels that become one square of pixels, which stand side by side, get one kernel, drawn by
    He's rule for ReLU (normal).

    >>> weight = torch.empty(8, 3, 1, 1)
    >>> icnr_(weight)
    >>> torch.equal(weight[0], weight[3]), torch.equal(weight[3], weight[4])
    (True, False)
    """
    kernels = torch.empty(weight.shape[0] // 4, *weight.shape[1:], dtype=weight.dtype, device=weight.device)
    nn.init.kaiming_normal_(kernels)
    weight.copy_(kernels.repeat_interleave(4, dim=0))


def _layers(channels: int, num_labels: int, stride: int) -> Iterator[nn.Module]:
    doublings = stride.bit_length() - 1
    if stride != 2**doublings:
        raise ModelError(f"a decoder enlarges by a power of two, not by an output stride of {stride}")
    first = nn.Conv2d(channels, num_labels, 1, bias=False)
    nn.init.kaiming_normal_(first.weight, nonlinearity="relu")
    yield first
    for _ in range(doublings):
        yield Doubling(num_labels)
