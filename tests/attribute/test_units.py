"""The same function in other units of its input or its map gives the same maps, for every preset."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import advcam
from advcam.attribute.multiscale import at_scale
from advcam.attribute.settings import Units

PRESETS = {name: getattr(advcam.ClimbSettings, name)() for name in ("released", "paper", "localization")}


def parts() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(1)
    features = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3, stride=2, padding=1), nn.ReLU()
    )
    return features.double(), torch.randn(4, 6).double()


class Rescaled(nn.Module):
    """The features of an input that spans another range."""

    def __init__(self, features: nn.Module, factor: float) -> None:
        super().__init__()
        self.features, self.factor = features, factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(x / self.factor)


def settings_of(preset: str, mapper: advcam.ClassMapper) -> advcam.ClimbSettings:
    strong = replace(PRESETS[preset], steps=6, reg_weight=PRESETS[preset].reg_weight / 50, mask_threshold=0.1)
    strong = replace(strong, step_size=5.0) if not strong.normalize_gradient else strong
    return advcam.adapted(strong, advcam.maps.CAM(mapper, signed=strong.signed).units)


@pytest.mark.parametrize("preset", PRESETS)
class TestTheSameFunction:
    def climb(self, preset, mapper, images):
        # Bounds in single precision are no function of the units.
        settings = replace(settings_of(preset, mapper), clamp=False)
        found = advcam.climb(mapper, images, torch.tensor([0, 2]), settings)
        return found / found.abs().amax()

    def images(self):
        return torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(2)).double()

    def test_in_other_units_of_the_input(self, preset):
        features, weight = parts()
        mapper = advcam.ClassMapper(features, weight)
        factor = mapper.input_range / 2.0
        other = advcam.ClassMapper(Rescaled(features, 1 / factor), weight, mean=(0.5,) * 3, std=(0.5,) * 3)
        assert other.input_range == 2.0
        expected = self.climb(preset, mapper, self.images())
        torch.testing.assert_close(self.climb(preset, other, self.images() / factor), expected, rtol=1e-8, atol=1e-10)

    def test_in_other_widths(self, preset):
        features, weight = parts()
        expected = self.climb(preset, advcam.ClassMapper(features, weight), self.images())

        class Doubled(nn.Sequential):
            def forward(self, x):
                f = super().forward(x)
                return torch.cat([f, f], dim=1)

        wide = advcam.ClassMapper(Doubled(features), torch.cat([weight, weight], dim=1) / 2)
        torch.testing.assert_close(self.climb(preset, wide, self.images()), expected, rtol=1e-8, atol=1e-10)

    def test_in_other_strides(self, preset):
        features, weight = parts()
        expected = self.climb(preset, advcam.ClassMapper(features, weight), self.images())
        finer = nn.Sequential(features, nn.Upsample(scale_factor=2, mode="nearest"))
        found = self.climb(preset, advcam.ClassMapper(finer, weight), self.images())
        torch.testing.assert_close(found[:, ::2, ::2], expected, rtol=1e-8, atol=1e-10)


def test_the_authors_network_has_the_authors_units():
    network = nn.Conv2d(3, 2048, 3, stride=16, padding=1)
    assert advcam.maps.CAM(advcam.ClassMapper(network, torch.ones(20, 2048))).units == Units()
    assert advcam.adapted(PRESETS["released"], Units()) == replace(PRESETS["released"], follow_side=True)


def test_lambda_keeps_its_pull_on_a_grid_of_another_size():
    own = advcam.adapted(PRESETS["released"], Units())
    sizes = ((375, 500), (500, 354), (480, 640), (192, 240), (1500, 2000))
    assert [own.weight_for(*size) for size in sizes] == [7, 7, 7, 28, 7 / 16]
    # At another scale both the grid and what it is measured by are larger.
    assert at_scale(own, 2.0).weight_for(384, 480) == 28
    assert PRESETS["released"].weight_for(192, 240) == 7


def test_settings_for_another_network():
    found = advcam.adapted(PRESETS["released"], Units(2.0, 1280, 32))
    assert found.step_size == pytest.approx(0.08 * 2 / 4.7579, rel=1e-4)
    assert found.reg_weight == pytest.approx(7 * 1280 / 2048 * 4)
    assert advcam.adapted(found, Units(2.0, 1280, 32)) == found
    raw = advcam.adapted(PRESETS["paper"], Units(2.0, 1, 16))
    assert raw.step_size == pytest.approx(0.008 * (2 / 4.7579) ** 2, rel=1e-4)
    assert raw.reg_weight == 7


def test_steps_are_halved_by_the_program_alone():
    assert PRESETS["released"].steps_at(0.5) == 13
    assert PRESETS["paper"].steps_at(0.5) == 27
