"""AffinityNet from settings, and a trained one as a folder: ``model.safetensors`` and ``config.json``."""

from __future__ import annotations

import copy
from pathlib import Path

from advcam.errors import ModelError
from advcam.models.architectures import build_backbone
from advcam.models.classifier import Classifier, pretrained
from advcam.models.stored import CONFIG_NAME, WEIGHTS_NAME, read_stored, save_stored
from advcam.models.weights import STATISTICS, read_weights
from advcam.refine.psa.network import AffinityNet
from advcam.refine.psa_settings import PSASettings
from advcam.training.machine import seeded

_FIELDS = {"kind": str, "architecture": str, "output_stride": int, **STATISTICS}
_KIND = "affinity net"


def build_affinity_net(settings: PSASettings, classifier: Classifier | None = None) -> AffinityNet:
    """AffinityNet on the backbone that the settings name, or on a copy of a trained classifier's; its own layers new.

    Args:
        settings: architecture, weights, output stride, input statistics.
        classifier: stands below where ``settings.architecture`` is None.
    """
    if settings.architecture is None and classifier is None:
        raise ModelError("psa.architecture is null, which takes the run's classifier, but there is none: name one")
    with seeded(settings.seed):
        if settings.architecture is None:
            return AffinityNet(copy.deepcopy(classifier.as_backbone()))  # type: ignore[union-attr]
        # Whatever head the weights bring stays behind.
        return AffinityNet(pretrained(settings, settings.weights).as_backbone())


def save_affinity_net(folder: Path, network: AffinityNet) -> None:
    """Write the network so that ``load_affinity_net`` restores it. Each file appears whole or not at all."""
    config = {
        "kind": _KIND,
        "architecture": network.architecture,
        "output_stride": network.output_stride,
        "mean": list(network.mean),
        "std": list(network.std),
    }
    save_stored(folder, network.published_state_dict(), config)


def load_affinity_net(path: Path, settings: PSASettings | None = None) -> AffinityNet:
    """A trained AffinityNet, in evaluation mode on the CPU.

    Args:
        path: a folder that ``save_affinity_net`` wrote, or a weights file of PSA's program (``res38_aff.pth``).
        settings: name the architecture and the input statistics of a weights file; a folder has its own.
    """
    settings, statistics = settings or PSASettings(), {}
    if path.is_dir():
        statistics = read_stored(path, "a trained AffinityNet", _FIELDS)
        if statistics["kind"] != _KIND:
            raise ModelError(f"{path / CONFIG_NAME} does not describe an AffinityNet: name the folder of a trained one")
        network = AffinityNet(build_backbone(statistics["architecture"], statistics["output_stride"]))
        path = path / WEIGHTS_NAME
    elif settings.architecture is None:
        raise ModelError(f"weights file {path} does not say what network it is of: name it with psa.architecture")
    else:
        network = AffinityNet(pretrained(settings, None).as_backbone())
    file = read_weights(path)
    network.load_published_state_dict(file.tensors, f"weights file {file.path}")
    network.mean = statistics.get("mean") or file.mean or network.mean
    network.std = statistics.get("std") or file.std or network.std
    return network.eval()
