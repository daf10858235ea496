"""Which parameters do not learn, for the networks of several families."""

from __future__ import annotations

from functools import cache

import pytest
from torch import nn

from advcam.classify.freezing import frozen_parameters
from advcam.errors import SettingsError
from advcam.models import BackboneSettings, build_classifier


@cache
def built(architecture: str) -> nn.Module:
    return build_classifier(BackboneSettings(architecture, weights=None), num_classes=2).backbone


def frozen_names(architecture: str, freeze: str | None) -> list[str]:
    features = built(architecture)
    chosen = {id(parameter) for parameter in frozen_parameters(features, freeze)}
    return [name for name, parameter in features.named_parameters() if id(parameter) in chosen]


def test_tables_of_irn_and_advcam() -> None:
    stem = frozen_names("irn_resnet50", "stem")
    assert stem == ["conv1.weight", "bn1.weight", "bn1.bias"]
    to_layer2 = frozen_names("irn_resnet50", "layer2")
    assert {name.split(".")[0] for name in to_layer2} == {"conv1", "bn1", "layer1", "layer2"}
    assert to_layer2[-1] == "layer2.3.bn3.bias"
    assert frozen_names("irn_resnet50", None) == []


def test_other_families() -> None:
    stem = frozen_names("torchvision/mobilenet_v2", "stem")
    assert stem == ["features.0.0.weight", "features.0.1.weight", "features.0.1.bias"]
    assert {name.split(".")[1] for name in frozen_names("torchvision/mobilenet_v2", "features.3")} == {
        "0",
        "1",
        "2",
        "3",
    }
    assert all(name.startswith("model.") for name in frozen_names("timm/test_resnet", "layer1"))


def test_unknown_part_is_named_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match=r"freeze is 'layer9'.*conv1, bn1, layer1, layer2, layer3, layer4"):
        frozen_names("irn_resnet50", "layer9")
