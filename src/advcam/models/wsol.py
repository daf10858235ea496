"""The three networks of the WSOL benchmark, in its shapes: cells of 16 or of 8 pixels, and nothing dilated.

``wsol/resnet50``, ``wsol/vgg16`` and ``wsol/inception_v3`` are those of CAM and of every method that leaves the
network alone. A method that adds layers has a network of its own: ``+acol``, ``+spg``, ``+adl`` behind the name.
``+acol`` may stand behind any other architecture too.

Source: wsolevaluation (Choe et al. 2020).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
import torchvision
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import max_pool2d
from torchvision.models.inception import InceptionB

from advcam.errors import ModelError, SettingsError
from advcam.models.backbone import IMAGENET_MEAN, IMAGENET_STD, Backbone, measure_backbone
from advcam.models.from_torchvision import torchvision_weights
from advcam.models.tails import WIDTH, convolutions, with_tail

LIBRARY = "wsol/"
# Library's name of each network, and the methods that change it.
NETWORKS = {"wsol/resnet50": ("acol", "spg"), "wsol/vgg16": ("acol", "spg"), "wsol/inception_v3": ("acol", "adl")}
# The benchmark's 14 x 14 and 28 x 28 maps of a picture of 224 pixels.
SMALL, LARGE = 16, 8
INPUT = (224, 224)
_VGG_POOLS = (4, 9, 16, 23, 30)
_RESNET = "conv1 bn1 relu maxpool layer1 layer2 layer3 layer4"
_INCEPTION = (
    "Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 maxpool1 Conv2d_3b_1x1 Conv2d_4a_3x3 maxpool2 Mixed_5b Mixed_5c "
    "Mixed_5d pool Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e"
)


def wsol_architecture(architecture: str, method: str) -> str:
    """The name of the network that a method trains, given that of the plain network.

    >>> wsol_architecture("wsol/vgg16", "acol"), wsol_architecture("wsol/resnet50", "adl")
    ('wsol/vgg16+acol', 'wsol/resnet50')
    >>> wsol_architecture("torchvision/mobilenet_v2", "acol")
    'torchvision/mobilenet_v2+acol'
    """
    own = NETWORKS.get(architecture, ("acol",))
    return f"{architecture}+{method}" if method in own else architecture


def wsol_backbone(architecture: str, output_stride: int | None) -> Backbone:
    """``wsol/NAME`` or ``wsol/NAME+METHOD``; stride 16 for the benchmark's small map, 8 for its large one.

    >>> backbone = wsol_backbone("wsol/vgg16", 8)
    >>> backbone.channels, backbone.output_stride
    (1024, 8)
    """
    name, _, method = architecture.partition("+")
    if name not in NETWORKS or (method and method not in NETWORKS[name]):
        known = [f"{known}{suffix}" for known, own in NETWORKS.items() for suffix in ("", *(f"+{m}" for m in own))]
        raise SettingsError(f"backbone.architecture '{architecture}' is not one of {', '.join(known)}: take one")
    stride = output_stride or SMALL
    if stride not in (SMALL, LARGE):
        raise ModelError(f"{architecture} has an output stride of {SMALL} or {LARGE}, not {stride}: take one of them")
    build: dict[str, Callable[[str, int], Backbone]] = {
        "wsol/resnet50": _resnet50,
        "wsol/vgg16": _vgg16,
        "wsol/inception_v3": _inception_v3,
    }
    return build[name](method, stride)


def wsol_weights(architecture: str, weights: str) -> tuple[dict[str, Tensor], str]:
    """torchvision's pretrained tensors of a network of the benchmark, by default the first ImageNet weights."""
    name = "torchvision/" + architecture.removeprefix(LIBRARY).partition("+")[0]
    return torchvision_weights(name, "IMAGENET1K_V1" if weights == "default" else weights)


def _measured(name: str, trunk: nn.Module, head_name: str | None = None) -> Backbone:
    return measure_backbone(
        name,
        trunk,
        prefix="",
        head_name=head_name,
        # All three are fed with ImageNet's statistics, Inception too, whose weights were made with others.
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        input_size=INPUT,
    )


def _resnet50(method: str, stride: int) -> Backbone:
    model = torchvision.models.resnet50(weights=None)
    chain = nn.Sequential(OrderedDict((name, getattr(model, name)) for name in _RESNET.split()))
    for layer in ("layer4",) if stride == SMALL else ("layer3", "layer4"):
        for name in (f"{layer}.0.conv2", f"{layer}.0.downsample.0"):
            convolution: nn.Module = chain.get_submodule(name)
            convolution.stride = (1, 1)  # type: ignore[assignment]
    if method == "acol":
        backbone = _measured("wsol/resnet50", chain)
        return with_tail(backbone, convolutions(backbone.channels, init="kaiming"), WIDTH, "+acol")
    # SPG's class layer is new even where the library has one for as many classes.
    return _measured("wsol/resnet50" + ("+spg" if method == "spg" else ""), chain, None if method == "spg" else "fc")


def _vgg16(method: str, stride: int) -> Backbone:
    features = torchvision.models.vgg16(weights=None).features
    kept = 4 if stride == SMALL else 3
    for number, index in enumerate(_VGG_POOLS):
        if method == "acol":
            features[index] = nn.MaxPool2d(3, stride=2 if number < kept else 1, padding=1)
        elif number >= kept:
            features[index] = nn.Identity()
        elif method == "spg" and number == 3:
            features[index] = nn.MaxPool2d(3, stride=2, padding=1)
    backbone = _measured("wsol/vgg16", nn.Sequential(OrderedDict(features=features)))
    if method == "acol":
        return with_tail(backbone, convolutions(512, pool=True), WIDTH, "+acol")
    if method == "spg":
        return with_tail(backbone, convolutions(512, width=512), 512, "+spg")
    return with_tail(backbone, convolutions(512, 1, init="kaiming"), WIDTH, "")


class _FlatInceptionB(InceptionB):
    """Mixed_6a without its stride: convolutions and pooling at stride 1, padded by 1."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        for layer in (self.branch3x3, self.branch3x3dbl_3):
            layer.conv.stride, layer.conv.padding = (1, 1), (1, 1)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, max_pool2d(x, 3, stride=1, padding=1)], dim=1)


def _inception_v3(method: str, stride: int) -> Backbone:
    model = torchvision.models.inception_v3(weights=None, aux_logits=False, init_weights=False)
    model.Conv2d_1a_3x3.conv.padding = (1, 1)
    for name in ("maxpool1", "maxpool2"):
        setattr(model, name, nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True))
    model.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True) if stride == SMALL else nn.Identity()
    model.Mixed_6a = _FlatInceptionB(288)
    chain = nn.Sequential(OrderedDict((name, getattr(model, name)) for name in _INCEPTION.split()))
    backbone = _measured("wsol/inception_v3", chain)
    dropout = 0.0 if method in ("acol", "adl") else 0.5
    tail = convolutions(backbone.channels, dropout=dropout)
    return with_tail(backbone, tail, WIDTH, f"+{method}" if method else "")
