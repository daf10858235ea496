"""CCT's network: an encoder that ends in pyramid pooling, and a decoder back to the image's own resolution."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from advcam.segment.cct.auxiliary import auxiliary_decoders
from advcam.segment.cct.decoder import Decoder
from advcam.segment.cct.psp import PyramidPooling
from advcam.segment.cct.settings import CCTSettings


class Encoder(nn.Module):
    """Backbone and pyramid pooling: features at the backbone's stride.

    Args:
        backbone: maps images to ``channels`` feature channels.
        width: channels behind pyramid pooling.
    """

    def __init__(self, backbone: nn.Module, channels: int, width: int) -> None:
        super().__init__()
        self.base, self.psp = backbone, PyramidPooling(channels, width)

    def forward(self, images: Float[Tensor, "n 3 H W"]) -> Float[Tensor, "n c h w"]:
        return self.psp(self.base(images))


class CCTNetwork(nn.Module):
    """What segments images after the training: encoder and main decoder.

    Args:
        backbone: gives features; its modules become this network's.
        stride: pixels of the image per cell of the features, a power of two.
        width: channels behind pyramid pooling.
    """

    def __init__(self, backbone: nn.Module, channels: int, *, stride: int, width: int, num_labels: int) -> None:
        super().__init__()
        self.encoder = Encoder(backbone, channels, width)
        self.decoder = Decoder(width, num_labels, stride)
        self.stride, self.width, self.num_labels = stride, width, num_labels

    def forward(self, images: Float[Tensor, "n 3 H W"]) -> Float[Tensor, "n K _ _"]:
        """Logits, all 0 or above, for each pixel of whole cells: the image's sides, rounded up to multiples of the
        stride."""
        return self.decoder(self.encoder(images))


class CCTTraining(nn.Module):
    """What is trained: the network, and the auxiliary decoders that the training alone needs."""

    def __init__(self, network: CCTNetwork, settings: CCTSettings) -> None:
        super().__init__()
        self.main = network
        self.auxiliary = auxiliary_decoders(network.width, network.num_labels, network.stride, settings)
