"""Checkpoints of the CCT program, under this project's names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from advcam.errors import ModelError
from advcam.models.weights import read_weights
from advcam.segment.cct.network import CCTNetwork

# Their stem is a chain of named layers, timm's is two parts.
_STEM = {"conv1": "conv1.0", "bn1": "conv1.1", "conv2": "conv1.3", "bn2": "conv1.4", "conv3": "conv1.6", "bn3": "bn1"}


def load_published(network: CCTNetwork, path: str) -> None:
    """Give a network of the default backbone the encoder and the main decoder of a checkpoint of the CCT program.

    Raises:
        ModelError: the file cannot be read, or its tensors are of another network or of other classes.
    """
    tensors = our_names(read_weights(path).tensors)
    expected = network.state_dict()
    missing = [key for key in expected if key not in tensors and not key.endswith("num_batches_tracked")]
    if missing:
        raise ModelError(
            f"{path} lacks {len(missing)} of {len(expected)} tensors of CCT's network, such as '{missing[0]}': give a "
            f"checkpoint of the CCT program, or leave cct.checkpoint out"
        )
    for key, tensor in expected.items():
        if key in tensors and tensors[key].shape != tensor.shape:
            raise ModelError(
                f"{path} has {list(tensors[key].shape)} for '{key}' instead of {list(tensor.shape)}: it was trained on "
                f"other classes than the {network.num_labels} labels here"
            )
    network.load_state_dict({key: tensors[key] for key in expected if key in tensors}, strict=False)


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
