"""Feature maps at several depths."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from advcam.errors import ModelError
from advcam.models.architectures import build_backbone
from advcam.models.backbone import Backbone
from advcam.models.classifier import Classifier
from advcam.models.taps import TappedBackbone, tapped


def chain(*layers: nn.Module) -> Backbone:
    facts = build_backbone("timm/mobilenetv2_035")
    return replace(facts, architecture="chain", features=nn.Sequential(*layers))


EXPECTED = {
    ("irn_resnet50", None): ((64, 256, 512, 1024, 2048), (4, 4, 8, 16, 16)),
    ("timm/resnet10t", None): ((64, 64, 128, 256, 512), (4, 4, 8, 16, 32)),
    ("resnet18", 8): ((64, 64, 128, 256, 512), (4, 4, 8, 8, 8)),
    ("mobilenet_v2", None): ((16, 24, 32, 96, 1280), (2, 4, 8, 16, 32)),
    ("mobilenet_v2", 8): ((16, 24, 32, 96, 1280), (2, 4, 8, 8, 8)),
    ("timm/mobilenetv2_035", 16): ((8, 8, 16, 32, 1280), (2, 4, 8, 16, 16)),
    ("timm/convnext_atto", None): ((40, 80, 160, 320), (4, 8, 16, 32)),
    ("regnet_y_400mf", None): ((32, 48, 104, 208, 440), (2, 4, 8, 16, 32)),
    ("squeezenet1_1", None): ((64, 128, 256, 512), (2, 4, 8, 16)),
    ("densenet121", None): ((64, 256, 512, 1024, 1024), (2, 4, 8, 16, 32)),
}


@pytest.mark.parametrize(("name", "output_stride"), EXPECTED)
def test_taps_of_the_families(name: str, output_stride: int | None) -> None:
    backbone = build_backbone(name, output_stride)
    taps = tapped(backbone)
    assert (taps.channels, taps.strides) == EXPECTED[name, output_stride]
    backbone.features.eval()
    image = torch.randn(2, 3, 67, 45)
    with torch.no_grad():
        maps = taps(image)
        torch.testing.assert_close(maps[-1], backbone.features(image), rtol=0, atol=0)
    assert [tuple(grid.shape[:2]) for grid in maps] == [(2, channels) for channels in taps.channels]


def test_maps_of_a_resnet_are_those_of_its_groups() -> None:
    features = build_backbone("resnet18").features.eval()
    taps = tapped(replace(build_backbone("resnet18"), features=features))
    image = torch.randn(1, 3, 65, 97)
    with torch.no_grad():
        expected = [features[:4](image)]  # type: ignore[index]
        for layer in features[4:]:  # type: ignore[index]
            expected.append(layer(expected[-1]))
        for found, wanted in zip(taps(image), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["mobilenet_v2", "squeezenet1_1", "timm/efficientnet_b0"])
def test_no_map_is_changed_by_the_layer_behind_it(name: str) -> None:
    taps = tapped(build_backbone(name)).eval()
    kept: list[Tensor] = []
    handles = [
        taps.features.get_submodule(layer).register_forward_hook(lambda *call: kept.append(call[2].clone()))
        for layer in taps.names
    ]
    with torch.no_grad():
        maps = taps(torch.randn(1, 3, 64, 64))
    for handle in handles:
        handle.remove()
    for found, wanted in zip(maps, kept, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_a_copy_looks_at_its_own_layers_and_gradients_flow() -> None:
    taps = tapped(chain(nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 5, 3, 2, 1)))
    twin = copy.deepcopy(taps)
    with torch.no_grad():
        twin.features[0].weight.zero_()  # type: ignore[index, union-attr]
        twin.features[0].bias.zero_()  # type: ignore[index, union-attr]
    image = torch.randn(1, 3, 16, 16)
    assert float(twin(image)[0].abs().max()) == 0.0
    taps(image)[0].sum().backward()
    assert taps.features[0].weight.grad is not None  # type: ignore[index, union-attr]
    assert taps.features[1].weight.grad is None  # type: ignore[index, union-attr]
    assert set(taps.state_dict()) == {f"features.{i}.{kind}" for i in (0, 1) for kind in ("weight", "bias")}


def test_a_classifier_lends_its_backbone_with_its_statistics() -> None:
    classifier = Classifier(build_backbone("timm/mobilenetv2_035"), num_classes=3)
    classifier.mean, classifier.std = (0.1, 0.2, 0.3), (0.5, 0.5, 0.5)
    taps = tapped(classifier.as_backbone())
    assert isinstance(taps, TappedBackbone)
    assert (taps.mean, taps.features) == ((0.1, 0.2, 0.3), classifier.backbone)


def test_one_map_is_not_enough() -> None:
    with pytest.raises(ModelError, match="chain has no feature maps before its last one"):
        tapped(chain(nn.Conv2d(3, 4, 3, 2, 1)))
