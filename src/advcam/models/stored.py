"""A trained network as a folder, ``model.safetensors`` and ``config.json``: written whole, and checked when read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from safetensors.torch import save
from torch import Tensor

from advcam.errors import ModelError
from advcam.io.files import write_json, writing

SCHEMA = 1
WEIGHTS_NAME, CONFIG_NAME = "model.safetensors", "config.json"


def save_stored(folder: str | Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Write a network. Each file appears whole or not at all, the description last.

    Input statistics, ``mean`` and ``std`` of the description, go into the weights file as well.
    """
    folder = Path(folder)
    statistics = {name: json.dumps(config[name]) for name in ("mean", "std") if name in config}
    # Serialised in memory: the library's own writer gives the file to its owner alone.
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    weights = save(plain, metadata={"format": "pt", **statistics})
    with writing(folder / WEIGHTS_NAME) as temporary:
        temporary.write_bytes(in_order(weights))
    write_json(folder / CONFIG_NAME, {"schema": SCHEMA, **config})


def in_order(content: bytes) -> bytes:
    """A safetensors file with its header sorted: the library writes the metadata in a new order each time.

    >>> import torch
    >>> len({in_order(save({"a": torch.ones(3)}, {"x": "1", "y": "2", "z": "3"})) for _ in range(9)})
    1
    """
    length = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def read_stored(folder: str | Path, what: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a stored network, checked.

    Args:
        folder: as given to ``save_stored``.
        what: is expected there, such as "a classifier".
        fields: that it must have, and their types.

    Raises:
        ModelError: the description is missing, broken, of a newer version or of something else.
    """
    path = Path(folder) / CONFIG_NAME
    try:
        config = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        raise ModelError(f"{path} is not there: name a folder that holds {what}, or train one first") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({error}): restore the file, or train again") from error
    if not isinstance(config, dict) or not isinstance(config.get("schema"), int):
        raise ModelError(f"{path} is not the description of {what}: it has no schema number")
    if config["schema"] > SCHEMA:
        raise ModelError(f"{path} has schema {config['schema']}, this version reads up to {SCHEMA}: update advcam")
    for name, kind in fields.items():
        try:
            config[name] = msgspec.convert(config.get(name), kind)
        except msgspec.ValidationError as error:
            raise ModelError(
                f"{path} is not the description of {what}, its {name} does not fit ({error}): name a folder that holds "
                "one, restore the file, or train again"
            ) from None
    if "mean" in fields and len(config["mean"]) != len(config["std"]):
        raise ModelError(f"{path} has a mean and a std of different lengths: restore the file, or train again")
    return config
