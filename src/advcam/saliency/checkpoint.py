"""A detector's weights: as a folder of ours, or in the layout in which U²-Net's were published."""

from __future__ import annotations

from pathlib import Path

from advcam.errors import ModelError
from advcam.models.match import fill
from advcam.models.stored import WEIGHTS_NAME, read_stored, save_stored
from advcam.models.weights import read_weights
from advcam.saliency.detector import PUBLISHED_SIZE
from advcam.saliency.settings import NETWORKS
from advcam.saliency.u2net import PLANS, U2Net

# Written before each name by torch's wrapper for several GPUs.
WRAPPED = "module."


def save_detector(folder: str | Path, network: U2Net, name: str, size: int, trained_on: str) -> None:
    """Write ``model.safetensors``, by the published names, and ``config.json``; each appears whole or not at all.

    Args:
        trained_on: the data in words, kept as a record.

    Raises:
        RunError: the folder cannot be written.
    """
    save_stored(folder, network.state_dict(), {"architecture": name, "size": size, "trained_on": trained_on})


def load_detector(path: str | Path, name: str) -> tuple[U2Net, int]:
    """A network with trained weights, in evaluation mode on the CPU, and the size of its input in pixels.

    Args:
        path: a folder that ``save_detector`` wrote, or a weights file in the published layout.

    Raises:
        ModelError: a file is missing or broken, or holds another network; says which and the fix.
    """
    path, size = Path(path), PUBLISHED_SIZE
    if path.is_dir():
        config = read_stored(path, "a trained detector", {"architecture": str, "size": int})
        if config["architecture"] != name:
            raise ModelError(
                f"the detector in {path} is {config['architecture']}, but saliency.source is {name}: set it to that, "
                "or name another folder"
            )
        size, path = config["size"], path / WEIGHTS_NAME
    network = U2Net(PLANS[name])
    file = read_weights(path)
    others = " or ".join(other for other in NETWORKS if other != name)
    fill(
        network,
        {key.removeprefix(WRAPPED): tensor for key, tensor in file.tensors.items()},
        lambda misfit: (
            f"{file.path} has the weights of another network than {name}: {misfit}; set saliency.source to {others} if "
            "they are of that one, or name another file"
        ),
        file.path,
        surplus=True,
    )
    return network.eval(), size
