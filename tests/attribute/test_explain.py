"""AdvCAM as an explanation of any network: what it takes, what it is given, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
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

    def test_several_layers_are_fused(self):
        once, images = advcam.ClimbSettings(steps=1, flip=False), self.images()
        net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), small(channels=8)).eval()
        layers = ["1", "2.1"]
        fine, coarse = (advcam.climb(advcam.maps.GradCAM(net, layer), images, [0, 1], once) for layer in layers)
        scaled = [m / m.amax(dim=(1, 2), keepdim=True).clamp(min=1e-38) for m in (fine, coarse)]
        large = nn.functional.interpolate(scaled[1][:, None], fine.shape[1:], mode="bilinear")[:, 0]
        expected = nn.functional.interpolate(((scaled[0] + large) / 2)[:, None], (32, 48), mode="bilinear")[:, 0]
        found = advcam.AdvCAM(net, once, feature_layer=layers)(images, [0, 1])
        torch.testing.assert_close(found, expected / (expected.amax(dim=(1, 2), keepdim=True) + 1e-5))


REFERENCE = torch.linspace(-1, 1, 8)
ENDS = {
    "segmentation": (nn.Conv2d(8, 2, 1), lambda masks: masks[:, 1].mean(dim=(1, 2))),
    "regression": (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1)), lambda value: value[:, 0]),
    "similarity": (
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 8)),
        lambda vectors: torch.cosine_similarity(vectors, REFERENCE.to(vectors)[None]),
    ),
    "difference of classes": (
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)),
        lambda scores: scores[:, 2] - scores[:, 0],
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_target_that_is_no_class(name):
    torch.manual_seed(3)
    end, target = ENDS[name]
    net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU(), end).eval()
    explain, images = advcam.AdvCAM(net, advcam.ClimbSettings(steps=3), target=target), torch.randn(2, 3, 32, 48)
    assert explain(images).shape == (2, 32, 48)
    steps = []
    advcam.climb(explain.map, images, [0, 0], explain.settings, on_step=steps.append)
    features = net[:2](images).detach().requires_grad_()
    values = target(end(features))
    (gradient,) = torch.autograd.grad(values.sum(), features)
    torch.testing.assert_close(steps[0].scores[:, 0, 0], values.detach())
    by_hand = (gradient.sum(dim=(2, 3), keepdim=True) * features).sum(dim=1).relu().detach()
    one = advcam.climb(
        advcam.maps.GradCAM(net, "1", target=target), images, [0, 0], advcam.ClimbSettings(steps=1, flip=False)
    )
    torch.testing.assert_close(one, by_hand)
    assert (steps[-1].scores.sum(dim=(1, 2)) > steps[0].scores.sum(dim=(1, 2))).all()


def test_a_grey_network():
    explain = advcam.AdvCAM(small(channels=1), SHORT)
    assert explain(torch.randn(2, 1, 32, 48), [0, 1]).shape == (2, 32, 48)


def test_what_it_refuses():
    with pytest.raises(ModelError, match="scripted"):
        advcam.AdvCAM(torch.jit.script(small()))
    with pytest.raises(ModelError, match="no layer with a map"):
        advcam.AdvCAM(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))
