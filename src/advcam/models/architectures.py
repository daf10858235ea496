"""Networks by name, whichever library they come from."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

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
from advcam.models.wsol import LIBRARY, trunk_name, wsol_backbone

# Behind a name: the network with the convolutions of ACoL's heads, see ``advcam.models.tails``.
ACOL = "+acol"


def find_architecture(name: str) -> str:
    """The full name behind ``name``: itself, or ``torchvision/`` or ``timm/`` put before a plain name.

    Raises:
        SettingsError: neither library has it; names the nearest ones.

    >>> find_architecture("resnet50"), find_architecture("res2net101_26w_4s")
    ('torchvision/resnet50', 'timm/res2net101_26w_4s')
    """
    if MARK in name:
        plain, _, layer = name.partition(MARK)
        return f"{find_architecture(plain)}{MARK}{layer}"
    library, _, plain = name.rpartition("/")
    if name in (IRN_RESNET50, RESNET38, CAFFE_RESNET101, *RES2NETS) or name.startswith(LIBRARY):
        return name
    if name.endswith(ACOL):
        return find_architecture(name.removesuffix(ACOL)) + ACOL
    if library in ("", "torchvision") and plain in torchvision_names():
        return f"torchvision/{plain}"
    if library in ("", "timm") and timm.is_model(plain):
        return f"timm/{plain}"
    near = [f"torchvision/{known}" for known in difflib.get_close_matches(plain, torchvision_names(), n=2)]
    near += [f"timm/{known}" for known in difflib.get_close_matches(plain, timm.list_models(), n=2)]
    hint = f"did you mean {', '.join(near)}?" if near else "take a name of theirs, such as resnet50"
    raise SettingsError(f"backbone.architecture '{name}' is known to neither torchvision nor timm: {hint}")


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
    architecture = find_architecture(architecture)
    if MARK in architecture:
        whole, mark, layer = architecture.partition(LOCAL if LOCAL in architecture else MARK)
        return (local_from if mark == LOCAL else truncated)(build_backbone(whole, output_stride), layer)
    if architecture == RESNET38:
        return resnet38_backbone(output_stride)
    if architecture == CAFFE_RESNET101:
        return caffe_backbone(output_stride)
    if architecture in RES2NETS:
        return res2net_backbone(architecture, output_stride)
    if architecture.startswith(LIBRARY):
        return wsol_backbone(architecture, output_stride)
    if architecture.endswith(ACOL):
        plain = build_backbone(architecture.removesuffix(ACOL), output_stride)
        return with_tail(plain, convolutions(plain.channels), WIDTH, ACOL)
    build = timm_backbone if architecture.startswith("timm/") else torchvision_backbone
    return build(architecture, output_stride)


def library_weights(architecture: str, weights: str) -> tuple[dict[str, Tensor], str]:
    """The library's pretrained tensors, under its own names, and what to call them.

    Args:
        architecture: a full name.
        weights: ``default``, or the name of a set of a torchvision model.

    Raises:
        SettingsError: no such set.
        ModelError: neither in the library's cache nor to be downloaded.
    """
    architecture = architecture.partition(MARK)[0]
    if architecture == RESNET38:
        raise no_library_weights(weights)
    if architecture == CAFFE_RESNET101:
        raise no_caffe_weights(weights)
    if architecture in RES2NETS:
        return res2net_weights(architecture, weights)
    architecture = architecture.removesuffix(ACOL)
    if architecture.startswith(LIBRARY):
        name = f"torchvision/{trunk_name(architecture)}"
        return torchvision_weights(name, "IMAGENET1K_V1" if weights == "default" else weights)
    fetch = timm_weights if architecture.startswith("timm/") else torchvision_weights
    return fetch(architecture, weights)


def own_names(architecture: str, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Tensors under the names that the architecture's parameters have here, whatever names they were published with."""
    if MARK in architecture:
        whole = build_backbone(architecture.partition(MARK)[0])
        tensors = own_names(whole.architecture, tensors)
        if LOCAL in architecture:
            return summed_taps(build_backbone(architecture), tensors)
        return without_left_out(whole, build_backbone(architecture), tensors)
    if architecture == RESNET38:
        return from_mxnet_names(tensors)
    return from_deeplab_names(tensors) if architecture == CAFFE_RESNET101 else tensors
