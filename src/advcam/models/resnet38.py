"""ResNet-38, the wide residual network that PSA, SEAM and SC-CAM stand on; no library has it.

Wu, Shen and van den Hengel (2016), "Wider or Deeper", Model A1. Its blocks normalise and rectify before they convolve.
Modules carry the names of PSA's program, so that the files published for it load as they are. Shape suffixes: ``h w``
the grid, one cell for 8 pixels.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import NoReturn

from jaxtyping import Float
from torch import Tensor, nn

from advcam.errors import ModelError, SettingsError
from advcam.models.backbone import IMAGENET_MEAN, IMAGENET_STD, Backbone, measure_backbone

RESNET38 = "resnet38"
# Of PSA's classifier; a 1 x 1 convolution there.
HEAD_NAME = "fc8"
# The last part that PSA's program does not train, batch norms apart.
FROZEN_UP_TO = "b2_2"


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions, each after batch norm and ReLU, beside a shortcut from the rectified input.

    Args:
        widths: channels in, between the convolutions, and out.
        dilations: of the first and of the second convolution.
    """

    def __init__(self, widths: tuple[int, int, int], stride: int = 1, dilations: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        before, between, after = widths
        self.bn_branch2a = nn.BatchNorm2d(before)
        self.conv_branch2a = _conv3x3(before, between, stride, dilations[0])
        self.bn_branch2b1 = nn.BatchNorm2d(between)
        self.conv_branch2b1 = _conv3x3(between, after, 1, dilations[1])
        if (before, stride) != (after, 1):
            self.conv_branch1 = nn.Conv2d(before, after, 1, stride, bias=False)
        self.relu = nn.ReLU(inplace=True)

    def activate(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """What the block's convolutions see of its input."""
        return self.relu(self.bn_branch2a(x))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        return self.after(x, self.activate(x))

    def after(self, x: Float[Tensor, "n c h w"], active: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        """The block's output from its input and ``activate`` of it."""
        shortcut = self.conv_branch1(active) if hasattr(self, "conv_branch1") else x
        return shortcut + self.conv_branch2b1(self.relu(self.bn_branch2b1(self.conv_branch2a(active))))


class Bottleneck(nn.Module):
    """1 x 1, dilated 3 x 3 and 1 x 1 convolution, with dropout of whole channels before the last two.

    Args:
        before, after: channels in and out; a quarter and a half of ``after`` lie between.
        dropout: probability with which a channel is left out while training.
    """

    def __init__(self, before: int, after: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.bn_branch2a = nn.BatchNorm2d(before)
        self.conv_branch2a = nn.Conv2d(before, after // 4, 1, bias=False)
        self.bn_branch2b1 = nn.BatchNorm2d(after // 4)
        self.dropout_2b1 = nn.Dropout2d(dropout)
        self.conv_branch2b1 = _conv3x3(after // 4, after // 2, 1, dilation)
        self.bn_branch2b2 = nn.BatchNorm2d(after // 2)
        self.dropout_2b2 = nn.Dropout2d(dropout)
        self.conv_branch2b2 = nn.Conv2d(after // 2, after, 1, bias=False)
        self.conv_branch1 = nn.Conv2d(before, after, 1, bias=False)
        self.relu = nn.ReLU(inplace=True)

    def activate(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """What the block's convolutions see of its input."""
        return self.relu(self.bn_branch2a(x))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        return self.after(x, self.activate(x))

    def after(self, x: Float[Tensor, "n c h w"], active: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        """The block's output from ``activate`` of its input."""
        branch = self.dropout_2b1(self.relu(self.bn_branch2b1(self.conv_branch2a(active))))
        branch = self.dropout_2b2(self.relu(self.bn_branch2b2(self.conv_branch2b1(branch))))
        return self.conv_branch1(active) + self.conv_branch2b2(branch)


class ResNet38(nn.Module):
    """The convolutions of Model A1, at an output stride of 8: 4,096 channels behind the last batch norm and ReLU.

    While training, ``forward`` leaves out channels of its output with probability 1/2, as PSA, SEAM and SC-CAM do
    before they pool it for class scores; ``taps`` does not.

    >>> import torch
    >>> network = ResNet38(width=2).eval()
    >>> network(torch.zeros(1, 3, 64, 48)).shape
    torch.Size([1, 128, 8, 6])

    Args:
        width: channels of the first convolution, 64 in Model A1; all others keep their ratio to it.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.conv1a = _conv3x3(3, width, 1, 1)
        for name, block in _blocks(width).items():
            self.add_module(name, block)
        self.bn7 = nn.BatchNorm2d(64 * width)
        self.relu = nn.ReLU(inplace=True)
        self.dropout7 = nn.Dropout2d(0.5)
        self.tap_channels = (8 * width, 16 * width, 64 * width)

    def forward(self, images: Float[Tensor, "n _ H W"]) -> Float[Tensor, "n C h w"]:
        """The last feature map, of images normalised as for torchvision's networks."""
        return self.dropout7(self.taps(images)[-1])

    def taps(self, images: Float[Tensor, "n _ H W"]) -> list[Tensor]:
        """The three maps that AffinityNet and SEAM look at, all on the grid of the last.

        They are what the convolutions of ``b5`` (512 channels) and of ``b6`` (1,024) see, and the last feature map.
        """
        x, seen = self.conv1a(images), []
        for name, block in self.named_children():
            if isinstance(block, BasicBlock | Bottleneck):
                active = block.activate(x)
                x = block.after(x, active)
                if name in ("b5", "b6"):
                    seen.append(active)
        return [*seen, self.relu(self.bn7(x))]


def _blocks(width: int) -> OrderedDict[str, nn.Module]:
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    before = width
    for stage, between, after, count, stride, dilation in (
        (2, 2, 2, 3, 2, 1),
        (3, 4, 4, 3, 2, 1),
        (4, 8, 8, 6, 2, 1),
        (5, 8, 16, 3, 1, 2),
    ):
        for index in range(count):
            widths = (before, between * width, after * width)
            # The rule of replacing a stride by dilation: the convolution that would have had it is not dilated.
            dilations = (1 if index == 0 else dilation, dilation)
            block = BasicBlock(widths, stride if index == 0 else 1, dilations)
            blocks[f"b{stage}_{index}" if index else f"b{stage}"] = block
            before = after * width
    blocks["b6"] = Bottleneck(before, 32 * width, dilation=4, dropout=0.3)
    blocks["b7"] = Bottleneck(32 * width, 64 * width, dilation=4, dropout=0.5)
    return blocks


def _conv3x3(before: int, after: int, stride: int, dilation: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride, padding=dilation, dilation=dilation, bias=False)


def resnet38_backbone(architecture: str, output_stride: int | None) -> Backbone:
    """ResNet-38 as a backbone for classifiers, at its output stride of 8."""
    if output_stride not in (None, 8):
        raise ModelError(f"{RESNET38} has an output stride of 8, not {output_stride}: leave backbone.output_stride out")
    return measure_backbone(
        architecture,
        ResNet38(),
        prefix="",
        head_name=HEAD_NAME,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        input_size=(448, 448),
    )


def no_library_weights(architecture: str, weights: str) -> NoReturn:
    """Refuses weights by name."""
    raise SettingsError(
        f"{RESNET38} is in no library, so it has no weights '{weights}': name a file, such as the ImageNet weights "
        f"ilsvrc-cls_rna-a1_cls1000_ep-0001 saved as a state dict or a classifier of the PSA program, or null"
    )


# "arg:res2a_branch2a_weight", "aux:bn4b3_branch2b1_moving_var", "arg:conv1a_weight", "arg:bn7_gamma".
_MXNET = re.compile(r"(?:arg:|aux:)?(?:(res|bn)(\d)(?:a|b(\d+))_(branch\w+?)|(conv1a|bn7))_(?:moving_)?([a-z]+)")
_VALUES = {
    "weight": "weight",
    "gamma": "weight",
    "beta": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


def from_mxnet_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under MXNet's names, in which the ImageNet weights were published, under the names of PSA's program.

    Block ``<n>a`` becomes ``b<n>`` and ``<n>b<k>`` becomes ``b<n>_<k>``; gamma, beta, mean and variance become the
    weight, bias and running statistics of a batch norm. Names that are no such names stay.

    >>> import torch
    >>> list(from_mxnet_names({"aux:bn4b3_branch2b1_moving_var": torch.ones(8), "bn7.bias": torch.ones(8)}))
    ['b4_3.bn_branch2b1.running_var', 'bn7.bias']
    """
    return {_torch_name(name): tensor for name, tensor in tensors.items()}


def _torch_name(name: str) -> str:
    match = _MXNET.fullmatch(name)
    if match is None or match[6] not in _VALUES:
        return name
    kind, stage, index, branch, outside, value = match.groups()
    if outside is not None:
        return f"{outside}.{_VALUES[value]}"
    block = f"b{stage}" if index is None else f"b{stage}_{index}"
    layer = "conv" if kind == "res" else "bn"
    return f"{block}.{layer}_{branch}.{_VALUES[value]}"
