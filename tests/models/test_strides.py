"""Strides traded for dilation."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from advcam.errors import ModelError
from advcam.models.from_timm import ForwardFeatures
from advcam.models.strides import dilate, output_stride_of


def chain() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 7, stride=2, padding=3),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.Conv2d(4, 5, 3, stride=2, padding=1),
        nn.Conv2d(5, 5, 5, padding=2, groups=5),
        nn.Conv2d(5, 6, 3, stride=2, padding=1),
        nn.Conv2d(6, 7, 1),
    )


@pytest.mark.parametrize("stride", [16, 8, 4, 2])
def test_a_chain_keeps_its_values_at_the_old_cells(stride: int) -> None:
    layers = chain().double()
    images = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    coarse = layers(images)
    dilate(layers, stride)
    fine = layers(images)
    assert fine.shape == (1, 7, 64 // stride, 96 // stride)
    step = 16 // stride
    torch.testing.assert_close(fine[..., ::step, ::step], coarse, rtol=1e-12, atol=1e-12)


def test_stride_is_measured_without_the_borders() -> None:
    assert output_stride_of(nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(4, 4, 3, stride=2))) == 4


def test_coarser_is_refused() -> None:
    with pytest.raises(ModelError, match="its output stride is 16 and cannot be made coarser: ask for 16, not 32"):
        dilate(chain(), 32)


@pytest.mark.parametrize("layer", [nn.AvgPool2d(3, 2, padding=1), nn.MaxPool2d(2), nn.Conv2d(3, 3, 3, stride=2)])
def test_layers_that_cannot_be_dilated_are_named(layer: nn.Module) -> None:
    with pytest.raises(ModelError, match=f"layer '0' cannot be dilated, being {type(layer).__name__}"):
        dilate(nn.Sequential(layer), 1)


@pytest.mark.parametrize("name", ["mobilenetv2_050", "regnety_002"])
def test_the_rule_is_that_of_timm(name: str) -> None:
    reference = timm.create_model(name, output_stride=8).eval()
    model = timm.create_model(name).eval()
    model.load_state_dict(reference.state_dict())
    dilate(ForwardFeatures(model), 8)
    images = torch.randn(1, 3, 65, 97)
    with torch.no_grad():
        torch.testing.assert_close(model(images), reference(images), rtol=1e-5, atol=1e-6)


def test_statistics_and_mode_stay() -> None:
    layers = nn.Sequential(chain(), nn.BatchNorm2d(7)).train()
    dilate(layers, 8)
    assert layers[1].num_batches_tracked == 0
    assert all(module.training for module in layers.modules())
