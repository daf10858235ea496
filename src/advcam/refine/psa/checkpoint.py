"""AffinityNet from settings, and a trained one as a folder: ``model.safetensors`` and ``config.json``."""

from __future__ import annotations

import copy
from pathlib import Path

from advcam.errors import ModelError
from advcam.models.architectures import build_backbone
from advcam.models.backbone import Backbone
from advcam.models.classifier import Classifier, build_classifier
from advcam.models.settings import BackboneSettings
from advcam.models.stored import CONFIG_NAME, WEIGHTS_NAME, read_stored, save_stored
from advcam.models.weights import STATISTICS, read_weights
from advcam.refine.psa.network import AffinityNet
from advcam.refine.psa_settings import PSASettings
from advcam.training.seeding import seeded

_FIELDS = {"kind": str, "architecture": str, "output_stride": int, **STATISTICS}
_KIND = "affinity net"


def build_affinity_net(settings: PSASettings, classifier: Classifier | None = None) -> AffinityNet:
    """AffinityNet on the backbone that the settings name, or on a copy of a trained classifier's; its own layers new.

    Args:
        settings: architecture, weights, output stride, input statistics.
        classifier: stands below where ``settings.architecture`` is None.
    """
    if settings.architecture is None:
        if classifier is None:
            raise ModelError("psa.architecture is null, which takes the run's classifier, but there is none: name one")
        with seeded(settings.seed):
            return AffinityNet(copy.deepcopy(classifier.as_backbone()))
    with seeded(settings.seed):
        return AffinityNet(_named_backbone(settings, settings.architecture))


def _named_backbone(settings: PSASettings, architecture: str) -> Backbone:
    asked = BackboneSettings(architecture, settings.weights, settings.output_stride, settings.mean, settings.std)
    # Whatever head the weights bring stays behind.
    return build_classifier(asked, num_classes=1).as_backbone()


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
    if path.is_dir():
        return _from_folder(path)
    settings = settings or PSASettings()
    file = read_weights(path)
    if settings.architecture is None:
        raise ModelError(f"weights file {path} does not say what network it is of: name it with psa.architecture")
    asked = BackboneSettings(settings.architecture, None, settings.output_stride, settings.mean, settings.std)
    network = AffinityNet(build_classifier(asked, num_classes=1).as_backbone())
    network.load_published_state_dict(file.tensors, f"weights file {file.path}")
    network.mean, network.std = file.mean or network.mean, file.std or network.std
    return network.eval()


def _from_folder(folder: Path) -> AffinityNet:
    config = read_stored(folder, "a trained AffinityNet", _FIELDS)
    if config["kind"] != _KIND:
        raise ModelError(f"{folder / CONFIG_NAME} does not describe an AffinityNet: name the folder of a trained one")
    network = AffinityNet(build_backbone(config["architecture"], config["output_stride"]))
    file = read_weights(folder / WEIGHTS_NAME)
    network.load_published_state_dict(file.tensors, f"weights file {file.path}")
    network.mean, network.std = config["mean"], config["std"]
    return network.eval()
