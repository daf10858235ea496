"""From settings to a method on a classifier, and the folder that a trained one is kept in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from advcam.classify.wsol.acol import ACoL
from advcam.classify.wsol.adl import ADL
from advcam.classify.wsol.cam import CAM
from advcam.classify.wsol.cutmix import CutMix
from advcam.classify.wsol.has import HaS
from advcam.classify.wsol.method import LocalizationMethod
from advcam.classify.wsol.places import method_layers
from advcam.classify.wsol.settings import METHODS, WSOLSettings
from advcam.classify.wsol.spg import SPG, outputs_of
from advcam.errors import ModelError, SettingsError
from advcam.io.files import read_json, write_json, writing
from advcam.models.checkpoint import load_classifier, save_classifier
from advcam.models.classifier import Classifier, build_classifier
from advcam.models.probe import probe_image, probing
from advcam.models.settings import BackboneSettings
from advcam.models.weights import check_finite, read_weights
from advcam.models.wsol import wsol_architecture

METHOD_NAME, SECOND_HEAD = "method.json", "second_head.safetensors"


def build_method(backbone: BackboneSettings, num_classes: int, settings: WSOLSettings) -> nn.Module:
    """A method with its classifier, ready to be trained; a ``LocalizationMethod``.

    Args:
        backbone: the plain network, such as ``wsol/resnet50``; a method with layers of its own adds them. Its head
            always has a bias, as the benchmark's.
        num_classes: K.
        settings: which method, and how.

    Raises:
        SettingsError, ModelError: as ``build_classifier``; layers that are not there.
    """
    architecture = wsol_architecture(backbone.architecture, settings.method)
    classifier = build_classifier(replace(backbone, architecture=architecture, head_bias=True), num_classes)
    if classifier.head_is_new and classifier.architecture.startswith("wsol/"):
        # A linear layer behind the pooling in ResNet and VGG, a 1 x 1 convolution before it elsewhere.
        linear = classifier.architecture in ("wsol/resnet50", "wsol/vgg16")
        init = torch.nn.init
        init.normal_(classifier.head.weight, 0, 0.01) if linear else init.xavier_uniform_(classifier.head.weight)
        init.zeros_(classifier.head.bias)
    return method_on(classifier, settings)


def method_on(classifier: Classifier, settings: WSOLSettings) -> nn.Module:
    """The method that the settings name, on a classifier of its architecture."""
    match settings.method:
        case "cam":
            return CAM(classifier)
        case "has":
            return HaS(classifier, settings.has_grid, settings.has_rate)
        case "cutmix":
            return CutMix(classifier, settings.cutmix_beta, settings.cutmix_rate)
        case "acol":
            return ACoL(classifier, settings.acol_threshold)
        case "adl":
            layers = method_layers(classifier, "adl", settings.layers)
            return ADL(classifier, layers, settings.adl_threshold, settings.adl_rate)
        case "spg":
            first, second = method_layers(classifier, "spg", settings.layers)
            with probing(classifier.backbone):
                maps, _ = outputs_of(classifier.backbone, (first, second), probe_image(classifier.backbone, 128, 128))
            channels = (maps[0].shape[1], maps[1].shape[1])
            return SPG(classifier, (first, second), channels, settings.spg_thresholds)
    raise SettingsError("wsol.method is none, so there is nothing to train: name a method")


def save_method(
    folder: Path, network: LocalizationMethod, method: str, backbone: BackboneSettings, class_names: Sequence[str]
) -> None:
    """Write a trained method: its classifier (``load_classifier`` reads it), and what its test needs beside it."""
    save_classifier(folder, network.classifier, backbone, class_names)
    if isinstance(network, ACoL):
        tensors = {
            key: value.detach().cpu().contiguous()
            for key, value in network.state_dict().items()
            if key.startswith("second_")
        }
        with writing(folder / SECOND_HEAD) as temporary:
            temporary.write_bytes(save(tensors))
    threshold = {"acol_threshold": network.threshold} if isinstance(network, ACoL) else {}
    write_json(folder / METHOD_NAME, {"schema": 1, "method": method, **threshold})


def load_method(folder: Path, class_names: Sequence[str] | None = None) -> tuple[nn.Module, tuple[str, ...]]:
    """Restore a trained method for testing, in evaluation mode, and its class names.

    Any folder with a classifier will do: without ``method.json`` it is tested as CAM, as all methods but ACoL are.

    Raises:
        ModelError: a file is missing or broken.
    """
    classifier, names = load_classifier(folder, class_names)
    described: dict[str, Any] = {"method": "cam"}
    if (folder / METHOD_NAME).exists():
        described = read_json(folder / METHOD_NAME)
        known = isinstance(described, dict) and described.get("method") in METHODS
        if not known or (described["method"] == "acol" and not isinstance(described.get("acol_threshold"), float)):
            raise ModelError(
                f"{folder / METHOD_NAME} does not describe a localization method: train again, or restore it"
            )
    if described["method"] != "acol":
        return CAM(classifier).eval(), names
    network = ACoL(classifier, described["acol_threshold"])
    tensors = read_weights(folder / SECOND_HEAD).tensors
    check_finite(tensors, folder / SECOND_HEAD)
    missing = network.load_state_dict(tensors, strict=False).missing_keys
    if any(key.startswith("second_") for key in missing):
        raise ModelError(f"{folder / SECOND_HEAD} lacks tensors of the second head: train again, or restore the file")
    return network.eval(), names
