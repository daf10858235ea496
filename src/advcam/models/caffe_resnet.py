"""The original ResNet-101 of He et al. in Caffe's form, on which DeepLab-v2 stands."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NoReturn

import torchvision
from jaxtyping import Float
from torch import Tensor, nn

from advcam.errors import ModelError
from advcam.models.backbone import Backbone, measure_backbone

CAFFE_RESNET101 = "caffe_resnet101"
# Of the input, blue, green and red in levels of 0 to 255, less their mean, and not divided by anything.
_MEAN_BGR = (104.008, 116.669, 122.675)
_STAGES = (("layer2", 8), ("layer3", 16), ("layer4", 32))


class BGR(nn.Module):
    """Turns the channels round, red first to blue first."""

    def forward(self, images: Float[Tensor, "n _ H W"]) -> Float[Tensor, "n _ H W"]:
        return images.flip(1)


def caffe_backbone(architecture: str, output_stride: int | None) -> Backbone:
    """ResNet-101 with the stride in the first 1 x 1 convolution of a block, a pooling that rounds its size up, and BGR.

    ``mean`` and ``std`` state its input, levels of 0 to 255 less a mean, for RGB in [0, 1] as those of every other
    network do; its first layer turns the channels round. Tensors go by torchvision's names. A stage that loses its
    stride dilates all of its 3 x 3 convolutions, the first block's as well, as DeepLab-v2 does.

    >>> backbone = caffe_backbone(CAFFE_RESNET101, 8)
    >>> backbone.channels, backbone.output_stride, [round(255 * level, 3) for level in backbone.mean]
    (2048, 8, [122.675, 116.669, 104.008])
    """
    model = torchvision.models.resnet101(weights=None)
    parts = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    features = nn.Sequential(OrderedDict(bgr=BGR(), **{name: getattr(model, name) for name in parts}))
    model.maxpool.ceil_mode = True
    reached = 4
    for name, wanted in _STAGES:
        stage: Any = getattr(model, name)
        stride = 2 if wanted <= (output_stride or 32) else 1
        reached *= stride
        stage[0].conv1.stride = stage[0].downsample[0].stride = (stride, stride)
        stage[0].conv2.stride = (1, 1)
        for block in stage:
            block.conv2.dilation = block.conv2.padding = (wanted // reached, wanted // reached)
    for module in features.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.001
    return measure_backbone(
        architecture,
        features,
        prefix="",
        head_name="fc",
        mean=[level / 255 for level in reversed(_MEAN_BGR)],
        std=[1 / 255] * 3,
        input_size=(224, 224),
        output_stride=output_stride,
    )


def no_caffe_weights(architecture: str, weights: str) -> NoReturn:
    """Refuses any set of a library, since none has these weights."""
    raise ModelError(
        f"backbone.weights is '{weights}', but no library has weights of {CAFFE_RESNET101}: name a file, such as the "
        f"ImageNet weights of He et al. or a checkpoint of DeepLab-v2"
    )


_PARTS = {"reduce": ("conv1", "bn1"), "conv3x3": ("conv2", "bn2"), "increase": ("conv3", "bn3")}


def from_deeplab_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of the public DeepLab-v2 programs under torchvision's names; any other is left as it is.

    >>> import torch
    >>> list(from_deeplab_names({"base.layer1.conv1.conv.weight": torch.zeros(1), "base.aspp.c0.bias": torch.zeros(1)}))
    ['base.conv1.weight', 'base.aspp.c0.bias']
    """
    if not any(re.search(r"layer\d\.block\d+\.reduce\.|layer1\.conv1\.conv\.", key) for key in tensors):
        return dict(tensors)
    return {_torchvision_name(key): value for key, value in tensors.items()}


def _torchvision_name(key: str) -> str:
    stem = re.fullmatch(r"(.*?)layer1\.conv1\.(conv|bn)\.(\w+)", key)
    if stem:
        return f"{stem[1]}{stem[2]}1.{stem[3]}"
    block = re.fullmatch(r"(.*?)layer(\d)\.block(\d+)\.(\w+)\.(conv|bn)\.(\w+)", key)
    if block is None:
        return key
    is_norm = block[5] == "bn"
    part = f"downsample.{int(is_norm)}" if block[4] == "shortcut" else _PARTS[block[4]][is_norm]
    return f"{block[1]}layer{int(block[2]) - 1}.{int(block[3]) - 1}.{part}.{block[6]}"
