"""Folding batch norm into convolutions changes no map."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import advcam
from advcam.models import BackboneSettings, build_classifier
from advcam.models.fold import fold_batch_norm


def mapper(architecture: str) -> advcam.ClassMapper:
    classifier = build_classifier(BackboneSettings(architecture=architecture, weights=None, output_stride=16), 5)
    generator = torch.Generator().manual_seed(0)
    for module in classifier.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) / 10)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
    return classifier.double().eval().mapper()


@pytest.mark.parametrize("architecture", ["irn_resnet50", "mobilenet_v2"])
def test_maps_and_climbs_are_the_same_in_double(architecture):
    plain = mapper(architecture)
    folded = fold_batch_norm(plain)
    assert any(isinstance(module, nn.BatchNorm2d) for module in plain.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    images, classes = torch.randn(1, 3, 48, 64).double(), torch.tensor([3])
    settings = advcam.ClimbSettings(steps=3)
    torch.testing.assert_close(
        advcam.climb(folded, images, classes, settings),
        advcam.climb(plain, images, classes, settings),
        rtol=1e-9,
        atol=0,
    )


def test_a_network_that_cannot_be_traced_is_left_as_it_is():
    class Dependent(nn.Sequential):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images if images.sum() > 0 else -images)

    plain = advcam.ClassMapper(Dependent(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)), torch.ones(5, 8)).eval()
    assert fold_batch_norm(plain) is plain
