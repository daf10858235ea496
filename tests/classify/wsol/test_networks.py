"""The benchmark's networks: their parameters, their maps' sizes, their fast groups, their weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

import advcam.models.tails as tails
import advcam.models.wsol as networks
from advcam.classify.wsol.acol import ACoL
from advcam.classify.wsol.method import CAM
from advcam.classify.wsol.places import fast_parameters
from advcam.classify.wsol.spg import SPG
from advcam.errors import ModelError, SettingsError
from advcam.models.backbone import Backbone
from advcam.models.classifier import Classifier
from advcam.models.wsol import wsol_architecture, wsol_backbone

CHANNELS = {"wsol/resnet50": 2048, "wsol/resnet50+spg": 2048, "wsol/vgg16": 512, "wsol/inception_v3": 768}
SPG_CHANNELS = {"wsol/resnet50": (1024, 1024), "wsol/vgg16": (512, 512), "wsol/inception_v3": (288, 768)}


@dataclass
class Unmeasured:
    """Networks without memory and without a probe image: only their shapes matter here."""

    monkeypatch: pytest.MonkeyPatch

    def __call__(self, name: str, method: str, stride: int) -> Classifier:
        def measured(architecture: str, features: nn.Module, *, prefix: str, head_name: Any, **_: Any) -> Backbone:
            mean = (0.5, 0.5, 0.5)
            channels = CHANNELS[architecture]
            return Backbone(architecture, features, prefix, head_name, mean, mean, (224, 224), channels, stride)

        self.monkeypatch.setattr(networks, "measure_backbone", measured)
        self.monkeypatch.setattr(tails, "output_stride_of", lambda _: stride)
        with torch.device("meta"):
            return Classifier(wsol_backbone(wsol_architecture(name, method), stride), 200, bias=True)


@pytest.fixture
def classifier_of(monkeypatch: pytest.MonkeyPatch) -> Unmeasured:
    return Unmeasured(monkeypatch)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("wsol/resnet50", (23.92, 80.55, 61.67, 23.92)),
        ("wsol/vgg16", (19.64, 43.44, 28.98, 19.64)),
        ("wsol/inception_v3", (25.69, 42.41, 37.63, 25.69)),
    ],
)
def test_parameters_of_the_benchmark(name: str, millions: tuple[float, ...], classifier_of) -> None:
    found = []
    for method in ("cam", "acol", "spg", "adl"):
        classifier = classifier_of(name, method, 16)
        with torch.device("meta"):
            network: nn.Module = CAM(classifier)
            if method == "acol":
                network = ACoL(classifier)
            if method == "spg":
                network = SPG(classifier, ("a", "b"), SPG_CHANNELS[name])
        found.append(round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 2))
    assert tuple(found) == millions


@pytest.mark.parametrize("name", sorted(networks.NETWORKS))
@pytest.mark.parametrize("method", ["cam", "acol", "spg", "adl"])
@pytest.mark.parametrize(("stride", "cells"), [(16, 14), (8, 28)])
def test_maps_of_the_benchmark(name: str, method: str, stride: int, cells: int, classifier_of) -> None:
    features = classifier_of(name, method, stride).backbone
    with torch.no_grad():
        assert features(torch.zeros(1, 3, 224, 224, device="meta")).shape[2:] == (cells, cells)


def test_fast_groups_of_the_benchmark(classifier_of) -> None:
    resnet = fast_parameters(CAM(classifier_of("wsol/resnet50", "cam", 16)))
    assert {"classifier.backbone.layer4.0.conv1.weight", "classifier.head.bias"} <= resnet
    assert "classifier.backbone.layer3.0.conv1.weight" not in resnet
    acol = fast_parameters(ACoL(classifier_of("wsol/resnet50", "acol", 16)))
    assert "classifier.backbone.trunk.layer4.0.conv1.weight" in acol
    assert not {"classifier.head.bias", "second_tail.conv1.weight"} & acol
    for name in ("wsol/vgg16", "wsol/inception_v3"):
        fast = fast_parameters(CAM(classifier_of(name, "cam", 16)))
        assert {"classifier.backbone.tail.conv1.weight", "classifier.head.weight"} <= fast
        assert not any(one.startswith("classifier.backbone.trunk.") for one in fast)


def test_a_network_that_is_none_of_them() -> None:
    with pytest.raises(SettingsError, match=r"'wsol/resnet18' is not one of wsol/resnet50, wsol/resnet50\+acol"):
        wsol_backbone("wsol/resnet18", None)
    with pytest.raises(ModelError, match="an output stride of 16 or 8, not 32"):
        wsol_backbone("wsol/vgg16", 32)


def test_library_weights_leave_new_layers_alone() -> None:
    from advcam.models.architectures import build_backbone

    source = Classifier(build_backbone("timm/test_resnet"), 5, bias=True)
    classifier = Classifier(build_backbone("timm/test_resnet+acol"), 5, bias=True)
    before = classifier.backbone.get_parameter("tail.conv1.weight").detach().clone()
    assert not classifier.load_library_state_dict(source.library_state_dict(), "a file")
    assert torch.equal(classifier.backbone.get_parameter("tail.conv1.weight"), before)
    image = torch.randn(1, 3, 64, 64)
    classifier.eval(), source.eval()
    with torch.no_grad():
        assert torch.equal(classifier.backbone.trunk(image), source.backbone(image))
    again = Classifier(build_backbone("timm/test_resnet+acol"), 5, bias=True)
    assert again.load_library_state_dict(classifier.library_state_dict(), "a file")
    assert torch.equal(again.backbone.get_parameter("tail.conv1.weight"), before)
