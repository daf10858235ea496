"""AdvCAM as an explanation of a library's classifier."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision

import advcam
from advcam.errors import ModelError


@pytest.mark.parametrize("model", [torchvision.models.mobilenet_v2(), timm.create_model("resnet10t")])
def test_maps_of_a_librarys_classifier(model):
    images, classes = torch.randn(2, 3, 64, 96), torch.tensor([3, 5])
    settings = advcam.ClimbSettings(steps=2)
    maps = advcam.AdvCAM(model, settings)(images, classes)
    assert maps.shape == (2, 64, 96)
    assert maps.min() >= 0
    assert maps.max() <= 1
    torch.testing.assert_close(maps[1:], advcam.AdvCAM(model, settings)(images[1:], classes[1:]), atol=1e-3, rtol=0)


def test_settings_are_adapted_to_the_network():
    adapted = advcam.AdvCAM(torchvision.models.resnet18()).settings
    assert adapted.step_size == pytest.approx(0.08)
    assert adapted.reg_weight == pytest.approx(7 * 512 / 2048 * 4)


def test_a_network_without_pooling_and_linear_is_refused():
    with pytest.raises(ModelError):
        advcam.AdvCAM(torchvision.models.alexnet())
