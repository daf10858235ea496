"""Feature maps at several depths of one backbone, for the networks that look at more than the last map."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from advcam.errors import ModelError
from advcam.models.architectures import build_backbone
from advcam.models.backbone import Backbone
from advcam.models.discover import LayerOutput
from advcam.models.from_timm import ForwardFeatures
from advcam.models.probe import probe_image, probing

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
        maps: dict[str, Tensor] = {}
        with recording(self.features, self.names, maps.__setitem__):
            maps[self.names[-1]] = self.features(images)
        return [maps[name] for name in self.names]


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
    maps: dict[str, Tensor] = {}
    with recording(features, names, maps.__setitem__), probing(features):
        maps[names[-1]] = features(probe_image(features, 2 * _SIDE, _SIDE))
    return TappedBackbone(
        backbone, names, tuple(maps[name].shape[1] for name in names), tuple(_stride(maps[name]) for name in names)
    )


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

    def record(name: str, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] > output.shape[3]:
            last[_stride(output)] = name

    with recording(features, successive(features), record), probing(features):
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
    # What more pixels add, as borders without padding cost a few cells whatever the size.
    return 2 ** round(math.log2(_SIDE / max(grid.shape[2] - grid.shape[3], 1)))


@contextmanager
def recording(features: nn.Module, names: tuple[str, ...], record: Callable[[str, Any], Any]) -> Iterator[None]:
    """Inside: ``record(name, output)`` for each named module that runs.

    Hooks live for one pass alone, so that the network can be copied, moved and saved like any other.
    """

    def hook(name: str) -> Callable[..., None]:
        def after(module: nn.Module, inputs: Any, output: Any) -> None:
            record(name, output)

        return after

    handles = [features.get_submodule(name).register_forward_hook(hook(name)) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
