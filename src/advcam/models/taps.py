"""Feature maps at several depths of one backbone, for the networks that look at more than the last map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from advcam.errors import ModelError
from advcam.models.architectures import build_backbone
from advcam.models.backbone import Backbone
from advcam.models.discover import LayerOutput
from advcam.models.from_timm import ForwardFeatures
from advcam.models.probe import power_of_two, probe_image, probing, recording
from advcam.models.resnet38 import ResNet38

_SIDE = 128
_RESNET_STAGES = ("layer1", "layer2", "layer3", "layer4")


class TappedBackbone(nn.Module):
    """A backbone that gives the maps on the way to its last feature map, shallow to deep.

    Made by ``tapped``. Its parameters are those of ``features``; what a caller trains or cuts from the graph is the
    caller's choice.

    Attributes:
        features: the backbone itself; the last map is its output.
        names: of the modules whose outputs are given, as in ``features.named_modules()``.
        channels, strides: of each map; the stride is in pixels of the image per cell.
        architecture, mean, std: as in ``Backbone``.
    """

    def __init__(
        self, backbone: Backbone, names: tuple[str, ...], channels: tuple[int, ...], strides: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.features = backbone.features
        self.names = names
        self.channels = channels
        self.strides = strides
        self.architecture = backbone.architecture
        self.mean = backbone.mean
        self.std = backbone.std

    def forward(self, images: Float[Tensor, "n _ H W"]) -> list[Tensor]:
        """One map ``Float[n C h w]`` per name, of images normalised by ``mean`` and ``std``."""
        return outputs_of(self.features, self.names[:-1], images)


def tapped(backbone: Backbone) -> TappedBackbone:
    """The maps of ``backbone`` at each of its depths.

    ResNets and their relatives (children ``layer1`` to ``layer4``) give the output of the stem with its pooling and
    of the four groups of blocks: the five taps of the IRN program. Any other network gives the last map of each
    stride from 2 on; one whose stride was traded for dilation gives them at the layers where the undilated
    network changes its stride, so that the number of taps does not depend on the output stride.

    Raises:
        ModelError: there is only one map to be had.

    >>> taps = tapped(build_backbone("mobilenet_v2", output_stride=16))
    >>> taps.channels, taps.strides
    ((16, 24, 32, 96, 1280), (2, 4, 8, 16, 16))
    >>> tapped(build_backbone("irn_resnet50")).channels
    (64, 256, 512, 1024, 2048)
    """
    features = backbone.features
    names = _resnet_names(features) or _last_of_each_stride(_undilated(backbone))
    if len(names) < 2:
        raise ModelError(
            f"{backbone.architecture} has no feature maps before its last one to look at: take an architecture such "
            f"as resnet50 or mobilenet_v2"
        )
    with probing(features):
        maps = outputs_of(features, names[:-1], probe_image(features, 2 * _SIDE, _SIDE))
    return TappedBackbone(backbone, names, tuple(map_.shape[1] for map_ in maps), tuple(map(_stride, maps)))


def outputs_of(network: nn.Module, names: Sequence[str], images: Float[Tensor, "n 3 H W"]) -> list[Tensor]:
    """The outputs of some modules of a network, and at the end its own.

    >>> import torch
    >>> maps = outputs_of(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)), ["0"], torch.zeros(1, 3, 5, 6))
    >>> [tuple(map_.shape) for map_ in maps]
    [(1, 4, 5, 6), (1, 2, 5, 6)]
    """
    maps: dict[str, Tensor] = {}

    def record(name: str, module: Any, inputs: Any, output: Tensor) -> None:
        maps[name] = output

    with recording(network, record, names):
        last = network(images)
    return [*(maps[name] for name in names), last]


class ResNet38Taps(nn.Module):
    """The three maps of ResNet-38 that the programs of PSA and SEAM look at."""

    def __init__(self, features: ResNet38) -> None:
        super().__init__()
        self.features, self.channels = features, features.tap_channels

    def forward(self, images: Float[Tensor, "n 3 H W"]) -> list[Tensor]:
        return self.features.taps(images)


def deep_taps(backbone: Backbone) -> TappedBackbone | ResNet38Taps:
    """``tapped``, but of ResNet-38 its own three maps: for networks that look at the last three."""
    found = ResNet38Taps(backbone.features) if isinstance(backbone.features, ResNet38) else tapped(backbone)
    if len(found.channels) < 3:
        raise ModelError(
            f"{backbone.architecture} has {len(found.channels)} feature maps to look at, and three are needed: take an "
            "architecture such as resnet50 or mobilenet_v2"
        )
    return found


def _resnet_names(features: nn.Module) -> tuple[str, ...]:
    """The stem's last module and the four groups of blocks; nothing for other families."""
    root, prefix = _root(features)
    children = [name for name, _ in root.named_children()]
    if not set(_RESNET_STAGES) <= set(children):
        return ()
    stem = children[: children.index(_RESNET_STAGES[0])]
    return tuple(prefix + name for name in (*stem[-1:], *_RESNET_STAGES))


def _last_of_each_stride(features: nn.Module) -> tuple[str, ...]:
    last: dict[int, str] = {}

    def record(name: str, module: Any, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] > output.shape[3]:
            last[_stride(output)] = name

    with recording(features, record, successive(features)), probing(features):
        features(probe_image(features, 2 * _SIDE, _SIDE))
    return tuple(name for stride, name in sorted(last.items()) if stride > 1)


def successive(features: nn.Module) -> tuple[str, ...]:
    """The modules that run one after the other: children of the network, with plain sequences taken apart."""
    names: list[str] = []

    def walk(module: nn.Module, prefix: str) -> None:
        for name, child in module.named_children():
            # A traced network holds its layers in modules of no class of their own.
            if type(child) in (nn.Sequential, nn.Module) and any(True for _ in child.children()):
                walk(child, f"{prefix}{name}.")
            else:
                names.append(prefix + name)

    walk(*_root(features))
    return tuple(names)


def _root(features: nn.Module) -> tuple[nn.Module, str]:
    """The module whose children are the network's parts, and what their names begin with."""
    return (features.model, "model.") if isinstance(features, ForwardFeatures | LayerOutput) else (features, "")


def _undilated(backbone: Backbone) -> nn.Module:
    if any(isinstance(layer, nn.Conv2d) and max(layer.dilation) > 1 for layer in backbone.features.modules()):
        return build_backbone(backbone.architecture).features
    return backbone.features


def _stride(grid: Tensor) -> int:
    return power_of_two(_SIDE, grid.shape[2], grid.shape[3])
