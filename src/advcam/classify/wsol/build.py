"""From settings to a method on a classifier."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from advcam.classify.wsol.acol import ACoL
from advcam.classify.wsol.adl import ADL
from advcam.classify.wsol.cutmix import CutMix
from advcam.classify.wsol.has import HaS
from advcam.classify.wsol.method import CAM
from advcam.classify.wsol.places import method_layers
from advcam.classify.wsol.settings import WSOLSettings
from advcam.classify.wsol.spg import SPG
from advcam.errors import SettingsError
from advcam.models.classifier import Classifier, build_classifier
from advcam.models.probe import probe_image, probing
from advcam.models.settings import BackboneSettings
from advcam.models.taps import outputs_of
from advcam.models.wsol import wsol_architecture


def build_method(backbone: BackboneSettings, num_classes: int, settings: WSOLSettings) -> nn.Module:
    """A method with its classifier, ready to be trained; a ``LocalizationMethod``.

    Args:
        backbone: the plain network, such as ``wsol/resnet50``; a method with layers of its own adds them. Its head
            always has a bias, as the benchmark's.
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
                maps = outputs_of(classifier.backbone, (first, second), probe_image(classifier.backbone, 128, 128))
            channels = (maps[0].shape[1], maps[1].shape[1])
            return SPG(classifier, (first, second), channels, settings.spg_thresholds)
    raise SettingsError("wsol.method is none, so there is nothing to train: name a method")
