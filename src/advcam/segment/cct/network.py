"""CCT's network: an encoder that ends in pyramid pooling, and a decoder back to the image's own resolution."""

from __future__ import annotations

import re
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from advcam.models.match import fill
from advcam.models.weights import read_weights
from advcam.segment.cct.auxiliary import auxiliary_decoders
from advcam.segment.cct.decoder import Decoder
from advcam.segment.cct.psp import PyramidPooling
from advcam.segment.cct.settings import CCTSettings

# Their stem is a chain of named layers, timm's is two parts.
_STEM = {"conv1": "conv1.0", "bn1": "conv1.1", "conv2": "conv1.3", "bn2": "conv1.4", "conv3": "conv1.6", "bn3": "bn1"}


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


def load_published(network: CCTNetwork, path: str) -> None:
    """Give a network of the default backbone the encoder and the main decoder of a checkpoint of the CCT program."""
    fill(
        network,
        our_names(read_weights(path).tensors),
        lambda misfit: (
            f"{path} does not hold CCT's network for {network.num_labels} labels, {misfit}: give a checkpoint of the "
            "CCT program that was trained on these classes, or leave cct.checkpoint out"
        ),
        path,
    )


def our_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the program's encoder and main decoder by our names; its auxiliary decoders are left out.

    >>> import torch
    >>> names = ("module.encoder.base.0.0.conv2.weight", "main_decoder.upsample.0.weight")
    >>> list(our_names({name: torch.zeros(1) for name in names}))
    ['encoder.base.model.conv1.3.weight', 'decoder.0.weight']
    """
    found = {}
    for name, tensor in tensors.items():
        name = name.removeprefix("module.")
        if stem := re.fullmatch(r"encoder\.base\.0\.0\.((?:conv|bn)[123])\.(\w+)", name):
            found[f"encoder.base.model.{_STEM[stem[1]]}.{stem[2]}"] = tensor
        elif layer := re.fullmatch(r"encoder\.base\.([1-4])\.(.+)", name):
            found[f"encoder.base.model.layer{layer[1]}.{layer[2]}"] = tensor
        elif name.startswith("encoder.psp."):
            found[name] = tensor
        elif name.startswith("main_decoder.upsample."):
            found[name.replace("main_decoder.upsample.", "decoder.")] = tensor
    return found
