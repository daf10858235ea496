"""A detector's weights: as a folder of ours, or in the layout in which U²-Net's were published."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save

from advcam.data.files import read_json, write_json, writing
from advcam.errors import ModelError
from advcam.models.checkpoint import CONFIG_NAME, WEIGHTS_NAME
from advcam.models.weights import WeightFile, read_weights
from advcam.saliency.detector import PUBLISHED_SIZE
from advcam.saliency.settings import NETWORKS
from advcam.saliency.u2net import PLANS, U2Net

SCHEMA = 1
# Written before each name by torch's wrapper for several GPUs.
WRAPPED = "module."


def save_detector(folder: str | Path, network: U2Net, name: str, size: int, trained_on: str) -> None:
    """Write ``model.safetensors``, by the published names, and ``config.json``; each appears whole or not at all.

    Args:
        folder: made if it is not there.
        network: the trained network.
        name: "u2net" or "u2netp".
        size: height and width of its input in pixels.
        trained_on: the data in words, kept as a record.

    Raises:
        RunError: the folder cannot be written.
    """
    folder = Path(folder)
    tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    weights = save(tensors, metadata={"format": "pt"})
    with writing(folder / WEIGHTS_NAME) as temporary:
        temporary.write_bytes(weights)
    config = {"schema": SCHEMA, "architecture": name, "size": size, "trained_on": trained_on}
    write_json(folder / CONFIG_NAME, config)


def load_detector(path: str | Path, name: str) -> tuple[U2Net, int]:
    """A network with trained weights, in evaluation mode on the CPU, and the size of its input in pixels.

    Args:
        path: a folder that ``save_detector`` wrote, or a weights file in the published layout.
        name: "u2net" or "u2netp".

    Raises:
        ModelError: a file is missing or broken, or holds another network; says which and the mend.
    """
    path, size = Path(path), PUBLISHED_SIZE
    if path.is_dir():
        size = _read_config(path / CONFIG_NAME, name)
        path = path / WEIGHTS_NAME
    network = U2Net(PLANS[name])
    load_published(network, read_weights(path), name)
    return network.eval(), size


def load_published(network: U2Net, file: WeightFile, name: str) -> None:
    """Take over a file's tensors.

    Raises:
        ModelError: they are not those of this network.
    """
    found = {key.removeprefix(WRAPPED): tensor for key, tensor in file.tensors.items()}
    expected = network.state_dict()
    # Counters of batches are younger than many files, and nothing depends on them.
    missing = [key for key in expected if key not in found and not key.endswith("num_batches_tracked")]
    surplus = [key for key in found if key not in expected]
    shapes = [key for key in expected if key in found and found[key].shape != expected[key].shape]
    if missing or surplus or shapes:
        first = (
            f"it lacks '{missing[0]}'"
            if missing
            else f"it holds '{surplus[0]}'"
            if surplus
            else f"'{shapes[0]}' is {list(found[shapes[0]].shape)} instead of {list(expected[shapes[0]].shape)}"
        )
        others = " or ".join(other for other in NETWORKS if other != name)
        raise ModelError(
            f"{file.path} has the weights of another network than {name}: {first}; set saliency.source to {others} if "
            "they are of that one, or name another file"
        )
    network.load_state_dict(expected | found)


def _read_config(path: Path, name: str) -> int:
    """The input size that a folder's description states."""
    if not path.is_file():
        raise ModelError(f"{path} is not there: name a folder that holds a trained detector, or a weights file")
    config = read_json(path)
    if not isinstance(config, dict) or not isinstance(config.get("schema"), int):
        raise ModelError(f"{path} is not the description of a detector: it has no schema number")
    if config["schema"] > SCHEMA:
        raise ModelError(f"{path} has schema {config['schema']}, this version reads up to {SCHEMA}: update advcam")
    if config.get("architecture") != name:
        raise ModelError(
            f"the detector in {path.parent} is {config.get('architecture')}, but saliency.source is {name}: set it to "
            "that, or name another folder"
        )
    if not isinstance(config.get("size"), int):
        raise ModelError(f"{path} lacks a size: train the detector again, or restore the file")
    return config["size"]
