"""A trained IRN as a folder, ``model.safetensors`` and ``config.json``, and from the file of IRN's own program."""

from __future__ import annotations

import hashlib
from pathlib import Path

from advcam.models.architectures import build_backbone
from advcam.models.from_torchvision import IRN_RESNET50
from advcam.models.match import fill
from advcam.models.stored import WEIGHTS_NAME, read_stored, save_stored
from advcam.models.taps import tapped
from advcam.models.weights import STATISTICS, read_weights
from advcam.refine.irn.network import IRNNetwork

_FIELDS = {"architecture": str, "output_stride": int, **STATISTICS}

# Our name of a part, and the program's: a row is a sequence there, whose items 0 and 1 are convolution and norm.
_ROWS = {
    **{f"edge.rows.{index}": f"fc_edge{index + 1}" for index in range(5)},
    **{f"displacement.fine.{index}": f"fc_dp{index + 1}" for index in range(2)},
    **{f"displacement.coarse.{index}": f"fc_dp{index + 3}" for index in range(3)},
    "displacement.join": "fc_dp6",
    "displacement.mix": "fc_dp7",
}
_SINGLES = {
    "edge.out.weight": "fc_edge6.weight",
    "edge.out.bias": "fc_edge6.bias",
    "displacement.out.weight": "fc_dp7.3.weight",
    "mean_shift": "fc_dp7.4.running_mean",
}
_BACKBONE, _THEIR_BACKBONE = "taps.features.", "resnet50."


def save_irn(folder: str | Path, network: IRNNetwork) -> None:
    """Write the network so that ``load_irn`` restores it. Each file appears whole or not at all."""
    taps = network.taps
    config = {
        "architecture": taps.architecture,
        "output_stride": taps.strides[-1],
        "mean": list(taps.mean),
        "std": list(taps.std),
    }
    save_stored(folder, network.state_dict(), config)


def load_irn(source: str | Path) -> IRNNetwork:
    """A trained network, in evaluation mode on the CPU.

    Args:
        source: a folder of ``save_irn``, or a file that IRN's program saved (``res50_irn.pth``); the latter is taken
            over by the name of each tensor, onto ``irn_resnet50``.
    """
    source = Path(source)
    if source.is_dir():
        config = read_stored(source, "a trained IRN, such as the folder irn of a run", _FIELDS)
        taps = tapped(build_backbone(config["architecture"], config["output_stride"]))
        taps.mean, taps.std = config["mean"], config["std"]
        source, network = source / WEIGHTS_NAME, IRNNetwork(taps)
        found = read_weights(source).tensors
    else:
        network, theirs = IRNNetwork(tapped(build_backbone(IRN_RESNET50))), read_weights(source).tensors
        found = {ours: theirs[name] for ours, name in program_names(network).items() if name in theirs}
    fill(
        network,
        found,
        lambda misfit: (
            f"{source} does not hold an IRN on {network.taps.architecture}, {misfit}: give the weights of a trained IRN"
        ),
        source,
    )
    return network.eval()


def program_names(network: IRNNetwork) -> dict[str, str]:
    """The name in IRN's program of each tensor of a network on ``irn_resnet50``.

    >>> names = program_names(IRNNetwork(tapped(build_backbone("irn_resnet50"))))
    >>> names["edge.rows.0.norm.bias"], names["displacement.coarse.2.conv.weight"]
    ('fc_edge1.1.bias', 'fc_dp5.0.weight')
    """
    names = {}
    for ours in network.state_dict():
        part, _, rest = ours.rpartition(".conv." if ".conv." in ours else ".norm.")
        if ours in _SINGLES:
            names[ours] = _SINGLES[ours]
        elif ours.startswith(_BACKBONE):
            names[ours] = _THEIR_BACKBONE + ours.removeprefix(_BACKBONE)
        else:
            names[ours] = f"{_ROWS[part]}.{0 if '.conv.' in ours else 1}.{rest}"
    return names


def fingerprint(network: IRNNetwork) -> str:
    """What tells one trained IRN from another."""
    taps, found = network.taps, hashlib.sha256()
    found.update(f"{taps.architecture} {list(taps.mean)} {list(taps.std)}".encode())
    for name, tensor in sorted(network.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
