"""A finer grid from the same weights: strides are taken out and the kernels behind them dilated."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

from advcam.errors import ModelError
from advcam.models.probe import power_of_two, probe_image, probing, recording

_SIDE = 128


def output_stride_of(features: nn.Module) -> int:
    """Pixels of the image per cell of the feature map, as a power of two.

    >>> output_stride_of(nn.Conv2d(3, 8, 7, stride=4, padding=3))
    4
    """
    with probing(features):
        rows, columns = features(probe_image(features, 2 * _SIDE, _SIDE)).shape[-2:]
    return power_of_two(_SIDE, rows, columns)


def dilate(features: nn.Module, output_stride: int) -> None:
    """Changes ``features`` in place so that its map has one cell per ``output_stride`` pixels, with the same weights.

    A layer that would go beyond the stride loses its own stride, and every kernel behind it is dilated by what was
    lost: the rule of torchvision's ``replace_stride_with_dilation``, for any network of padded odd kernels.

    Args:
        features: maps ``Float[n 3 H W]`` to ``Float[n C h w]``.
        output_stride: a power of two, not above the present one.

    Raises:
        ModelError: a layer that has to change has an even or unpadded kernel, or the present stride is finer already.

    >>> layers = nn.Sequential(nn.Conv2d(3, 4, 3, 2, padding=1), nn.Conv2d(4, 4, 3, 2, padding=1))
    >>> dilate(layers, 2)
    >>> output_stride_of(layers)
    2
    """
    present = output_stride_of(features)
    if output_stride > present:
        raise ModelError(
            f"its output stride is {present} and cannot be made coarser: ask for {present}, not {output_stride}"
        )
    for layer in _spatial_layers(features):
        if layer.stride_out > output_stride:
            _dilate_layer(layer, lost=max(1, round(layer.stride_in / output_stride)))


class _SpatialLayer(NamedTuple):
    """A layer with a kernel or a stride, and the strides of its input and its output relative to the image."""

    name: str
    module: nn.Module
    stride_in: float
    stride_out: float


def _spatial_layers(features: nn.Module) -> list[_SpatialLayer]:
    seen: list[_SpatialLayer] = []

    def record(name: str, module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(_SpatialLayer(name, module, _SIDE / inputs[0].shape[-1], _SIDE / output.shape[-1]))

    names = [
        name
        for name, module in features.named_modules()
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d)
        and (_pair(module.kernel_size) != (1, 1) or _pair(module.stride) != (1, 1))
    ]
    with recording(features, record, names), probing(features):
        features(probe_image(features, _SIDE, _SIDE))
    return seen


def _dilate_layer(layer: _SpatialLayer, lost: int) -> None:
    module: Any = layer.module
    kernel, padding = _pair(module.kernel_size), _pair(module.padding)
    dilation = _pair(getattr(module, "dilation", 1))
    padded = all(k % 2 == 1 and p == d * (k // 2) for k, p, d in zip(kernel, padding, dilation, strict=True))
    if isinstance(module, nn.AvgPool2d) or not padded:
        raise ModelError(
            f"layer '{layer.name}' cannot be dilated, being {type(module).__name__} with a kernel of {kernel[0]} and a "
            f"padding of {padding[0]}: leave the output stride out, or take an architecture such as resnet50 or "
            f"mobilenet_v2"
        )
    module.stride = (1, 1)
    module.dilation = (dilation[0] * lost, dilation[1] * lost)
    module.padding = (padding[0] * lost, padding[1] * lost)


def _pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)
