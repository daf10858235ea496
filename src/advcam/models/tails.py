"""Layers between a network's last feature map and the linear head: those of localization methods."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from advcam.models.backbone import Backbone
from advcam.models.strides import output_stride_of

Init = Literal["xavier", "kaiming"]
# Channels of the convolutions that the WSOL benchmark puts behind VGG, Inception and in ACoL's heads.
WIDTH = 1024


class TailedFeatures(nn.Module):
    """A trunk, whose weights come from a library, and new layers behind it."""

    def __init__(self, trunk: nn.Module, tail: nn.Module) -> None:
        super().__init__()
        self.trunk, self.tail = trunk, tail

    def forward(self, images: Float[Tensor, "n _ H W"]) -> Float[Tensor, "n C h w"]:
        return self.tail(self.trunk(images))


def with_tail(backbone: Backbone, tail: nn.Module, channels: int, suffix: str) -> Backbone:
    """The backbone with layers behind it; its name gets ``suffix``, and no library has a head for it.

    >>> from advcam.models.architectures import build_backbone
    >>> tailed = with_tail(build_backbone("resnet18"), convolutions(512), WIDTH, "+acol")
    >>> tailed.architecture, tailed.channels, tailed.output_stride
    ('torchvision/resnet18+acol', 1024, 32)
    """
    features = TailedFeatures(backbone.features, tail)
    return replace(
        backbone,
        architecture=backbone.architecture + suffix,
        features=features,
        prefix="trunk." + backbone.prefix,
        head_name=None,
        channels=channels,
        output_stride=output_stride_of(features),
    )


def convolutions(
    channels: int,
    count: int = 2,
    width: int = WIDTH,
    *,
    pool: bool = False,
    dropout: float = 0.0,
    init: Init = "xavier",
) -> nn.Sequential:
    """``count`` convolutions of 3 x 3 with ReLU, all of one width, named ``conv1``, ``relu1``, ...

    ``pool`` puts an average pooling of 3 x 3 before them, ``dropout`` one before each and behind the last.

    >>> [name for name, _ in convolutions(8, 1, 16).named_children()]
    ['conv1', 'relu1']
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if pool:
        layers["pool"] = nn.AvgPool2d(3, stride=1, padding=1)
    for number in range(1, count + 1):
        if dropout:
            layers[f"dropout{number}"] = nn.Dropout(dropout)
        layers[f"conv{number}"] = nn.Conv2d(channels if number == 1 else width, width, 3, padding=1)
        layers[f"relu{number}"] = nn.ReLU()
    if dropout:
        layers[f"dropout{count + 1}"] = nn.Dropout(dropout)
    found = nn.Sequential(layers)
    initialise(found, init)
    return found


def initialise(module: nn.Module, init: Init) -> None:
    """Draw the weights of all convolutions and linear layers as the benchmark does; biases become 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, 0, 0.01)
            elif init == "xavier":
                nn.init.xavier_uniform_(layer.weight)
            else:
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
