"""Checkpoints of the CCT program, under this project's names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from advcam.models.match import fill
from advcam.models.weights import read_weights
from advcam.segment.cct.network import CCTNetwork

# Their stem is a chain of named layers, timm's is two parts.
_STEM = {"conv1": "conv1.0", "bn1": "conv1.1", "conv2": "conv1.3", "bn2": "conv1.4", "conv3": "conv1.6", "bn3": "bn1"}


def load_published(network: CCTNetwork, path: str) -> None:
    """Give a network of the default backbone the encoder and the main decoder of a checkpoint of the CCT program."""
    fill(
        network,
        our_names(read_weights(path).tensors),
        lambda misfit: (
            f"{path} does not hold CCT's network for {network.num_labels} labels, {misfit}: give a checkpoint of the "
            "CCT program that was trained on these classes, or leave cct.checkpoint out"
        ),
        path,
    )


def our_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the program's encoder and main decoder by our names; its auxiliary decoders are left out.

    >>> import torch
    >>> names = ("module.encoder.base.0.0.conv2.weight", "main_decoder.upsample.0.weight")
    >>> list(our_names({name: torch.zeros(1) for name in names}))
    ['encoder.base.model.conv1.3.weight', 'decoder.0.weight']
    """
    found = {}
    for name, tensor in tensors.items():
        name = name.removeprefix("module.")
        if stem := re.fullmatch(r"encoder\.base\.0\.0\.((?:conv|bn)[123])\.(\w+)", name):
            found[f"encoder.base.model.{_STEM[stem[1]]}.{stem[2]}"] = tensor
        elif layer := re.fullmatch(r"encoder\.base\.([1-4])\.(.+)", name):
            found[f"encoder.base.model.layer{layer[1]}.{layer[2]}"] = tensor
        elif name.startswith("encoder.psp."):
            found[name] = tensor
        elif name.startswith("main_decoder.upsample."):
            found[name.replace("main_decoder.upsample.", "decoder.")] = tensor
    return found
