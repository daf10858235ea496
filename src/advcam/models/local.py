"""A network whose last layers look at their own cell only: a whole classifier with a small receptive field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from torch import Tensor, nn

from advcam.errors import SettingsError
from advcam.models.backbone import Backbone

# Between the name of a network and that of its first local layer, as in ``timm/resnet18@local:layer4``.
LOCAL = "@local:"


def local_from(backbone: Backbone, layer: str) -> Backbone:
    """The backbone with convolutions of 1 x 1 in ``layer`` and all layers behind it, in the library's name for them.

    What a cell sees stops growing there, as in BagNets (Brendel and Bethge 2019), and no channel is lost: the network
    recognizes more than one that ends at the same place (``truncated``). A kernel becomes the sum of its taps, so
    that a smooth map keeps its values; the network has to be trained on from there. Grids keep their size. Kernels
    with even sides stay: they merge cells without looking past them. Squeeze-and-excitation still sees the whole image.

    Raises:
        SettingsError: the network has no such layer, or no convolution from there on looks past its cell.

    >>> from advcam.models.architectures import build_backbone
    >>> local = build_backbone("timm/test_resnet@local:layer4", output_stride=16)
    >>> local.architecture, local.channels, local.output_stride
    ('timm/test_resnet@local:layer4', 96, 16)
    """
    names = list(_convolutions(backbone, layer))
    if not names:
        there = [name.removeprefix(backbone.prefix) for name, _ in backbone.features.named_modules()]
        plain = dict.fromkeys(name.partition(".")[0] for name in there if name and not name.startswith("_"))
        raise SettingsError(
            f"{backbone.architecture} has no convolution that looks past its cell from a layer '{layer}' on: name one "
            f"of {', '.join(plain)}, or of theirs"
        )
    for name in names:
        _shrink(backbone.features.get_submodule(name))
    return replace(backbone, architecture=f"{backbone.architecture}{LOCAL}{layer}")


def summed_taps(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors with the kernels of the local layers summed, under whatever names precede the library's."""
    one = tuple(f".{key}" for key, value in expected.items() if value.ndim == 4 and value.shape[2:] == (1, 1))
    return {
        # The sum of the one tap of a kernel that is 1 x 1 already is that kernel.
        key: value.sum(dim=(2, 3), keepdim=True) if value.ndim == 4 and f".{key}".endswith(one) else value
        for key, value in tensors.items()
    }


def _convolutions(backbone: Backbone, layer: str) -> Iterator[str]:
    """Names of the convolutions to shrink, from ``layer`` on, in the order in which the library declares layers."""
    inside, reached = backbone.prefix + layer, False
    for name, module in backbone.features.named_modules():
        reached = reached or name == inside
        if reached and isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1 and _odd(module):
            yield name


def _odd(convolution: nn.Conv2d) -> bool:
    return all(side % 2 for side in convolution.kernel_size)


def _shrink(convolution: nn.Module) -> None:
    assert isinstance(convolution, nn.Conv2d)
    convolution.weight = nn.Parameter(convolution.weight.detach().sum(dim=(2, 3), keepdim=True))
    convolution.kernel_size, convolution.dilation = (1, 1), (1, 1)
    if not isinstance(convolution.padding, str):
        convolution.padding = (0, 0)
