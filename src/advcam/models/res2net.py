"""Res2Net v1b (Gao et al., 2019): ResNets whose blocks work at several scales, with a deep stem."""

from __future__ import annotations

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from advcam.errors import ModelError, SettingsError
from advcam.models.backbone import IMAGENET_MEAN, IMAGENET_STD, Backbone, measure_backbone
from advcam.models.from_timm import timm_weights

# Blocks of the four stages. Weights of the second are published for 26 channels x 4 groups in the form v1b alone.
RES2NETS = {"res2net101_v1b": (3, 4, 23, 3), "res2net152_v1b": (3, 8, 36, 3)}
_TIMM_TWINS = {"res2net101_v1b": "timm/res2net101d"}
_EXPANSION = 4


class Bottle2neck(nn.Module):
    """A bottleneck whose 3 x 3 convolution is cut into groups of channels, each seeing what the one before it found.

    ``y_1 = K_1(x_1)``, ``y_i = K_i(x_i + y_(i-1))``, and the last group passes. In the first block of a stage the
    groups do not see each other, and the last one is averaged over 3 x 3.

    Args:
        channels: of the input.
        planes: a quarter of the channels of the output.
        stride, dilation: of the 3 x 3 convolutions.
        first: whether it is the first block of its stage.
        width, scale: channels of a group at 64 planes, and the number of groups.
    """

    def __init__(
        self, channels: int, planes: int, stride: int, dilation: int, first: bool, width: int = 26, scale: int = 4
    ) -> None:
        super().__init__()
        self.width, self.first = planes * width // 64, first
        self.conv1 = nn.Conv2d(channels, self.width * scale, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(self.width * scale)
        self.convs = nn.ModuleList(
            nn.Conv2d(self.width, self.width, 3, stride, padding=dilation, dilation=dilation, bias=False)
            for _ in range(scale - 1)
        )
        self.bns = nn.ModuleList(nn.BatchNorm2d(self.width) for _ in range(scale - 1))
        self.pool = nn.AvgPool2d(3, stride, padding=1) if first else nn.Identity()
        self.conv3 = nn.Conv2d(self.width * scale, planes * _EXPANSION, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * _EXPANSION)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if first:
            average = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
            self.downsample = nn.Sequential(
                average if stride > 1 else nn.Identity(),
                nn.Conv2d(channels, planes * _EXPANSION, 1, bias=False),
                nn.BatchNorm2d(planes * _EXPANSION),
            )

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h2 w2"]:
        *inputs, last = self.relu(self.bn1(self.conv1(x))).split(self.width, dim=1)
        outputs: list[Tensor] = []
        for group, conv, bn in zip(inputs, self.convs, self.bns, strict=True):
            seen = group if self.first or not outputs else group + outputs[-1]
            outputs.append(self.relu(bn(conv(seen))))
        joined = self.bn3(self.conv3(torch.cat([*outputs, self.pool(last)], dim=1)))
        return self.relu(joined + (x if self.downsample is None else self.downsample(x)))


def res2net_features(blocks: tuple[int, ...], output_stride: int = 32) -> nn.Sequential:
    """The network up to its last feature map, under the names of the authors' program and of timm.

    A finer output stride takes the stride out of the last stages and dilates every 3 x 3 convolution of a stage by what
    was lost before and in it, as the segmentation networks of the field do.

    >>> net = res2net_features((1, 1, 1, 1), output_stride=8)
    >>> net(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 2048, 8, 8])
    """
    stem = nn.Sequential(
        nn.Conv2d(3, 32, 3, 2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True),
        nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 3, padding=1, bias=False),
    )  # fmt: skip
    layers = OrderedDict(conv1=stem, bn1=nn.BatchNorm2d(64), relu=nn.ReLU(inplace=True), maxpool=nn.MaxPool2d(3, 2, 1))
    channels, reached = 64, 4
    for stage, count in enumerate(blocks):
        planes, wanted = 64 * 2**stage, 4 * 2**stage
        stride = 2 if reached < min(wanted, output_stride) else 1
        reached *= stride
        dilation = wanted // reached
        stages = [Bottle2neck(channels, planes, stride, dilation, first=True)]
        channels = planes * _EXPANSION
        stages += [Bottle2neck(channels, planes, 1, dilation, first=False) for _ in range(count - 1)]
        layers[f"layer{stage + 1}"] = nn.Sequential(*stages)
    for module in nn.Sequential(layers).modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(layers)


def res2net_backbone(architecture: str, output_stride: int | None) -> Backbone:
    """Res2Net-101 or Res2Net-152 in the form v1b."""
    return measure_backbone(
        architecture,
        res2net_features(RES2NETS[architecture], output_stride or 32),
        prefix="",
        head_name="fc",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        input_size=(224, 224),
        output_stride=output_stride,
    )


def res2net_weights(architecture: str, weights: str) -> tuple[dict[str, Tensor], str]:
    """Pretrained tensors: those of timm's Res2Net-101, which is the same network."""
    if weights != "default":
        raise SettingsError(f"backbone.weights '{weights}' is neither a file nor 'default': name one of them")
    if architecture not in _TIMM_TWINS:
        raise ModelError(
            f"no library has the weights of {architecture}: name a file with backbone.weights, such as the authors' "
            f"res2net152_v1b_26w_4s"
        )
    try:
        return timm_weights(_TIMM_TWINS[architecture], weights)
    except ModelError as error:
        raise ModelError(str(error).replace(_TIMM_TWINS[architecture], architecture)) from error
