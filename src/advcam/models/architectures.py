"""Networks by name, whichever library they come from: one table, one row each."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import timm
from torch import Tensor

from advcam.errors import SettingsError
from advcam.models.backbone import Backbone
from advcam.models.caffe_resnet import CAFFE_RESNET101, caffe_backbone, from_deeplab_names, no_caffe_weights
from advcam.models.from_timm import timm_backbone, timm_weights
from advcam.models.from_torchvision import IRN_RESNET50, torchvision_backbone, torchvision_names, torchvision_weights
from advcam.models.local import LOCAL, local_from, summed_taps
from advcam.models.res2net import RES2NETS, res2net_backbone, res2net_weights
from advcam.models.resnet38 import RESNET38, from_mxnet_names, no_library_weights, resnet38_backbone
from advcam.models.tails import WIDTH, convolutions, with_tail
from advcam.models.truncated import MARK, truncated, without_left_out
from advcam.models.wsol import LIBRARY, wsol_backbone, wsol_weights

# Behind a name: the network with the convolutions of ACoL's heads, see ``advcam.models.tails``.
ACOL = "+acol"


class Architecture(NamedTuple):
    """How a network is made, given its full name."""

    build: Callable[[str, int | None], Backbone]
    """With random weights, at an output stride or at its own."""
    weights: Callable[[str, str], tuple[dict[str, Tensor], str]]
    """Pretrained tensors under the library's names, given the name of a set, and what to call them."""
    rename: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = lambda tensors: tensors
    """Tensors under the names that the parameters have here, whatever names they were published with."""


# By name, or by the library's with its slash.
TABLE: Mapping[str, Architecture] = {
    IRN_RESNET50: Architecture(torchvision_backbone, torchvision_weights),
    RESNET38: Architecture(resnet38_backbone, no_library_weights, from_mxnet_names),
    CAFFE_RESNET101: Architecture(caffe_backbone, no_caffe_weights, from_deeplab_names),
    **dict.fromkeys(RES2NETS, Architecture(res2net_backbone, res2net_weights)),
    LIBRARY: Architecture(wsol_backbone, wsol_weights),
    "torchvision/": Architecture(torchvision_backbone, torchvision_weights),
    "timm/": Architecture(timm_backbone, timm_weights),
}


def find_architecture(name: str) -> str:
    """The full name behind ``name``: itself, or ``torchvision/`` or ``timm/`` put before a plain name.

    Raises:
        SettingsError: neither library has it; names the nearest ones.

    >>> find_architecture("resnet50"), find_architecture("res2net101_26w_4s@layer3")
    ('torchvision/resnet50', 'timm/res2net101_26w_4s@layer3')
    """
    plain, mark, layer = name.partition(MARK)
    if plain in TABLE or plain.startswith(LIBRARY):
        return name
    if plain.endswith(ACOL):
        return find_architecture(plain.removesuffix(ACOL)) + ACOL + mark + layer
    library, _, own = plain.rpartition("/")
    if library in ("", "torchvision") and own in torchvision_names():
        return f"torchvision/{own}{mark}{layer}"
    if library in ("", "timm") and timm.is_model(own):
        return f"timm/{own}{mark}{layer}"
    near = [f"torchvision/{known}" for known in difflib.get_close_matches(own, torchvision_names(), n=2)]
    near += [f"timm/{known}" for known in difflib.get_close_matches(own, timm.list_models(), n=2)]
    hint = f"did you mean {', '.join(near)}?" if near else "take a name of theirs, such as resnet50"
    raise SettingsError(f"backbone.architecture '{plain}' is known to neither torchvision nor timm: {hint}")


def build_backbone(architecture: str, output_stride: int | None = None) -> Backbone:
    """The network of that name with random weights, without its head, in training mode.

    Args:
        architecture: a full or plain name, see ``find_architecture``.
        output_stride: 8, 16, 32, or None for the architecture's own.

    Raises:
        SettingsError: an unknown name.
        ModelError: the network gives no map ``C x h x w`` (transformers), or not at this output stride.

    >>> backbone = build_backbone("resnet50", output_stride=8)
    >>> backbone.architecture, backbone.channels, backbone.output_stride
    ('torchvision/resnet50', 2048, 8)
    """
    whole, mark, layer = find_architecture(architecture).partition(MARK)
    if mark:
        backbone = build_backbone(whole, output_stride)
        local = f"{mark}{layer}".startswith(LOCAL)
        return local_from(backbone, layer.partition(":")[2]) if local else truncated(backbone, layer)
    if whole.endswith(ACOL) and not whole.startswith(LIBRARY):
        plain = build_backbone(whole.removesuffix(ACOL), output_stride)
        return with_tail(plain, convolutions(plain.channels), WIDTH, ACOL)
    return _row(whole).build(whole, output_stride)


def library_weights(architecture: str, weights: str) -> tuple[dict[str, Tensor], str]:
    """The library's pretrained tensors, under its own names, and what to call them.

    Args:
        architecture: a full name.
        weights: ``default``, or the name of a set of a torchvision model.

    Raises:
        SettingsError: no such set.
        ModelError: neither in the library's cache nor to be downloaded.
    """
    plain = architecture.partition(MARK)[0].removesuffix(ACOL)
    return _row(plain).weights(plain, weights)


def own_names(architecture: str, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Tensors under the names that the architecture's parameters have here, whatever names they were published with.

    Args:
        architecture: a full name.
        tensors: as a file has them.
        expected: the parameters of the network that takes them, by the library's names.
    """
    whole, mark, _ = architecture.partition(MARK)
    tensors = _row(whole.removesuffix(ACOL)).rename(tensors)
    if LOCAL in architecture:
        return summed_taps(expected, tensors)
    return without_left_out(build_backbone(whole), expected, tensors) if mark else tensors


def _row(plain: str) -> Architecture:
    return TABLE.get(plain) or TABLE[plain.partition("/")[0] + "/"]
