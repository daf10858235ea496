"""AdvCAM as an explanation of any network: what it takes, what it is given, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import nn

import advcam
from advcam.errors import ModelError, SettingsError

SHORT = advcam.ClimbSettings(steps=2)


def small(channels: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, stride=4, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    ).eval()


VITS = {
    "class token": {"model_name": "vit_tiny_patch16_224", "depth": 2},
    "mean": {"model_name": "vit_tiny_patch16_224", "depth": 2, "global_pool": "avg", "class_token": False},
    "registers": {"model_name": "vit_tiny_patch16_224", "depth": 2, "reg_tokens": 4},
}
LAYERS = {"class token": "blocks.1.norm1", "registers": "blocks.1.norm1"}


@pytest.mark.parametrize("kind", VITS)
def test_a_vision_transformer_is_explained_with_no_option(kind):
    model = timm.create_model(**VITS[kind], num_classes=5, img_size=64, embed_dim=32, num_heads=2).eval()
    explain = advcam.AdvCAM(model)
    assert LAYERS.get(kind, "norm") in explain.taken
    explain.settings = SHORT
    maps = explain(torch.randn(2, 3, 64, 64), [1, 3])
    assert maps.shape == (2, 64, 64)
    assert 0.9 < maps.amax() <= 1


def test_a_convolutional_network_that_does_not_end_in_pooling_and_a_linear_layer():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())
    model = nn.Sequential(model, nn.Linear(128, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    explain = advcam.AdvCAM(model, SHORT)
    assert "Grad-CAM of layer" in explain.taken
    assert explain(torch.randn(1, 3, 64, 96), [2]).shape == (1, 64, 96)


def test_settings_are_adapted_to_the_network():
    adapted = advcam.AdvCAM(torchvision.models.resnet18()).settings
    assert adapted.step_size == pytest.approx(0.08)
    assert adapted.reg_weight == pytest.approx(7 * 512 / 2048 * 4)


class TestWhatItIsGiven:
    def explain(self, **options):
        return advcam.AdvCAM(small(), SHORT, **options)

    def images(self, count=2):
        return torch.randn(count, 3, 32, 48, generator=torch.Generator().manual_seed(1))

    @pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
    def test_gradients_are_switched_on_inside(self, around):
        explain, expected = self.explain(), self.explain()(self.images(), [0, 1])
        with around():
            torch.testing.assert_close(explain(self.images(), [0, 1]), expected)

    @pytest.mark.parametrize("classes", [[0, 1], torch.tensor([0, 1], dtype=torch.uint8), np.array([0, 1])])
    def test_classes_of_any_kind(self, classes):
        expected = self.explain()(self.images(), torch.tensor([0, 1]))
        assert torch.equal(self.explain()(self.images(), classes), expected)

    def test_several_classes_each(self):
        found = self.explain()(self.images(), [[0, 2], [1]])
        assert [maps.shape for maps in found] == [(2, 32, 48), (1, 32, 48)]
        torch.testing.assert_close(found[0][1:], self.explain()(self.images(1), [2]), rtol=1e-3, atol=1e-4)

    def test_half_precision_images_are_brought_to_the_network(self):
        assert self.explain()(self.images().half(), [0, 1]).dtype == torch.float32

    def test_bytes_are_no_normalised_images(self):
        with pytest.raises(SettingsError, match="normalised as the network expects it"):
            self.explain()(self.images().byte(), [0, 1])

    def test_pictures_in_and_an_overlay_out(self):
        wide, high = (Image.fromarray(np.full((*size, 3), 90, np.uint8)) for size in ((32, 48), (40, 24)))
        maps = self.explain()(wide, [0, 1])
        assert maps.shape == (2, 32, 48)
        assert [found.shape for found in self.explain()([wide, high], [[0], [1, 2]])] == [(1, 32, 48), (2, 40, 24)]
        assert advcam.overlay(wide, torch.zeros(32, 48)).getpixel((0, 0)) == (90, 90, 90)
        assert advcam.overlay(wide, maps[0]).size == (48, 32)

    def test_a_target_that_is_no_class(self):
        explain = self.explain(feature_layer="1", target=lambda scores: scores[:, 2] - scores[:, 0])
        assert explain(self.images()).shape == (2, 32, 48)


def test_a_grey_network():
    explain = advcam.AdvCAM(small(channels=1), SHORT)
    assert explain(torch.randn(2, 1, 32, 48), [0, 1]).shape == (2, 32, 48)


def test_what_it_refuses():
    with pytest.raises(ModelError, match="scripted"):
        advcam.AdvCAM(torch.jit.script(small()))
    with pytest.raises(ModelError, match="no layer with a map"):
        advcam.AdvCAM(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))
