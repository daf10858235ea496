"""Region D of section 4.4: against eq. 7 written out, in both views, at all scales, and pair by pair."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import advcam
from advcam.attribute.climb import check_saliency, climb_pairs
from advcam.attribute.engine import map_pictures
from advcam.attribute.grid import divide_by_max, high_res, stored
from advcam.attribute.inputs import to_input
from advcam.attribute.methods import Climb
from advcam.attribute.objective import background
from advcam.data.transforms import scale_image
from advcam.errors import SettingsError

SETTINGS = advcam.ClimbSettings(steps=5)


def mapper(stride: int = 2) -> advcam.ClassMapper:
    torch.manual_seed(1)
    features = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=stride, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3, padding=1), nn.ReLU()
    )
    return advcam.ClassMapper(features.double(), torch.randn(4, 6).double()).eval()


def images(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, 16, 20, generator=torch.Generator().manual_seed(2)).double()


def left_half(count: int = 1) -> torch.Tensor:
    """Salient on the left half, background on the right."""
    saliency = torch.zeros(count, 16, 20).double()
    saliency[:, :, :10] = 1
    return saliency


def written_out(net, image, target, settings, region) -> torch.Tensor:
    """One pair by the program's own way, Grad-CAM by a backward pass, with the mask of section 4.4."""
    x, total, first = torch.stack([image, image.flip(-1)]), 0.0, None
    for _ in range(settings.steps):
        x = x.detach().requires_grad_()
        f = net.features(x)
        f.retain_grad()
        s = torch.einsum("kc,bchw->bkhw", net.weight, f)
        s[:, target].relu().sum().backward(retain_graph=True)
        weights = f.grad.sum(dim=(2, 3)) / ((f.grad > 0).sum() + 1e-12)
        views = torch.einsum("bc,bchw->bhw", weights, f).relu()
        map_hw = views[0] + views[1].flip(-1)
        first = map_hw.detach() if first is None else first
        total = total + map_hw.detach()
        mask = (map_hw.detach() / map_hw.detach().max() > settings.mask_threshold) | region
        y = s.relu().mean(dim=(2, 3))
        loss = 2 * y[:, target].sum() - y.sum() - settings.reg_weight * (mask * (map_hw - first).abs()).sum()
        (g,) = torch.autograd.grad(loss, x)
        x = x.detach()
        low, high = x.min().float().double(), x.max().float().double()
        x = (x + settings.step_size * g / (g.abs().max() + 1e-12)).clamp(low, high)
    return total


def test_equals_equation_7_with_region_d():
    region = torch.zeros(8, 10, dtype=torch.bool)
    region[:, 5:] = True
    found = advcam.climb(mapper(), images(1), torch.tensor([2]), SETTINGS, saliency=left_half())
    wanted = written_out(mapper(), images()[0], 2, SETTINGS, region)
    torch.testing.assert_close(found[0], wanted, rtol=1e-10, atol=1e-14)
    without = written_out(mapper(), images()[0], 2, SETTINGS, torch.zeros_like(region))
    assert (found[0] - without).abs().max() > 1e-3 * without.max()


@pytest.mark.parametrize("settings", [SETTINGS, replace(advcam.ClimbSettings.paper(), steps=5, step_size=0.1)])
def test_salient_everywhere_is_no_saliency(settings):
    targets = torch.tensor([0, 2, 1])
    with_map = advcam.climb(mapper(), images(), targets, settings, saliency=torch.ones(3, 16, 20).double())
    assert torch.equal(with_map, advcam.climb(mapper(), images(), targets, settings))


def test_the_map_stays_at_its_first_value_in_d_only():
    settings, steps = replace(SETTINGS, steps=8, reg_weight=1000.0, mask_threshold=1.0, step_size=0.002), []
    advcam.climb(mapper(), images(1), torch.tensor([2]), settings, saliency=left_half(), on_step=steps.append)
    change = torch.stack([step.maps[0] - steps[0].maps[0] for step in steps])
    steps = []
    advcam.climb(mapper(), images(1), torch.tensor([2]), settings, on_step=steps.append)
    unheld = torch.stack([step.maps[0] - steps[0].maps[0] for step in steps])
    held_drift, free_drift = change[-1][:, 6:].abs().sum(), unheld[-1][:, 6:].abs().sum()
    assert held_drift < 0.25 * free_drift


def test_mirrored_image_and_saliency_give_the_mirrored_map():
    targets = torch.tensor([0, 2, 1])
    saliency = torch.rand(3, 16, 20, generator=torch.Generator().manual_seed(5)).double().round()
    found = advcam.climb(mapper(stride=1), images(), targets, SETTINGS, saliency=saliency)
    turned = advcam.climb(mapper(stride=1), images().flip(-1), targets, SETTINGS, saliency=saliency.flip(-1))
    torch.testing.assert_close(turned.flip(-1), found, rtol=1e-9, atol=1e-13)
    wrong_way = advcam.climb(mapper(stride=1), images(), targets, SETTINGS, saliency=saliency.flip(-1))
    assert (wrong_way - found).abs().max() > 1e-3 * found.max()


def test_every_pair_has_its_own_region():
    targets = torch.tensor([0, 2, 1])
    saliency = torch.cat([left_half(), torch.ones(1, 16, 20).double(), 1 - left_half()])
    together = advcam.climb(mapper(), images(), targets, SETTINGS, saliency=saliency)
    for index in range(3):
        own = slice(index, index + 1)
        alone = advcam.climb(mapper(), images()[own], targets[own], SETTINGS, saliency=saliency[own])
        torch.testing.assert_close(together[own], alone, rtol=1e-10, atol=1e-14)
    assert torch.equal(together[1:2], advcam.climb(mapper(), images()[1:2], targets[1:2], SETTINGS))


def test_cells_go_with_their_majority_at_every_grid():
    saliency = torch.zeros(1, 12, 16)
    saliency[:, :, :6] = 1
    assert background(saliency, torch.zeros(1, 3, 4))[0, 0].tolist() == [False, False, True, True]
    assert background(saliency, torch.zeros(1, 6, 8))[0, 0].tolist() == [False, False, False] + [True] * 5
    assert background(saliency, torch.zeros(1, 24, 32))[0, 0].tolist() == [False] * 12 + [True] * 20
    # A cell that is half and half belongs to the object.
    assert background(saliency, torch.zeros(1, 1, 4))[0, 0].tolist() == [False, False, True, True]


def test_one_map_serves_all_scales():
    picture = np.random.default_rng(4).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    found = advcam.localization_maps(mapper(), picture, [0, 2], SETTINGS, (0.5, 1.5), saliency=left_half()[0])
    plain = advcam.localization_maps(mapper(), picture, [0, 2], SETTINGS, (0.5, 1.5))
    everywhere = torch.ones(16, 20)
    salient = advcam.localization_maps(mapper(), picture, [0, 2], SETTINGS, (0.5, 1.5), saliency=everywhere)
    assert torch.equal(plain, salient)
    assert not torch.equal(plain, found)
    # By hand: at each scale the left half of that scale's own picture.
    raw = []
    for scale in (0.5, 1.5):
        view = to_input(scale_image(picture, scale), mapper()).expand(2, -1, -1, -1)
        half = torch.zeros(2, *view.shape[2:]).double()
        half[:, :, : view.shape[3] // 2] = 1
        raw.append(advcam.climb(mapper(), view, torch.tensor([0, 2]), SETTINGS, saliency=half))
    torch.testing.assert_close(found, high_res(raw, (16, 20)), rtol=1e-10, atol=1e-12)
    pictures = [[scale_image(picture, scale)] for scale in (0.5, 1.5)]
    for batch_pixels in (10**9, 1):
        options = {"scales": (0.5, 1.5), "size": (16, 20), "batch_pixels": batch_pixels, "saliency": left_half()}
        engine = map_pictures(advcam.maps.CAM(mapper()), pictures, [(0, 2)], Climb(SETTINGS, (0.5, 1.5)), **options)
        torch.testing.assert_close(engine.maps, stored(raw, (16, 20), 2), rtol=1e-10, atol=1e-12)


def test_the_explanation_takes_it():
    explain, targets = advcam.AdvCAM(mapper(), SETTINGS), torch.tensor([0, 2, 1])
    found = explain(images(), targets, left_half(3))
    maps = advcam.climb(mapper(), images(), targets, SETTINGS, saliency=left_half(3))
    large = nn.functional.interpolate(maps[:, None], (16, 20), mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(found, divide_by_max(large), rtol=1e-10, atol=1e-12)
    assert not torch.equal(found, explain(images(), targets))


def test_a_map_of_another_size_is_named():
    with pytest.raises(SettingsError, match=r"saliency must have shape \(1, 16, 20\) like the images"):
        check_saliency(torch.ones(1, 20, 16), (1, 16, 20))
    picture = Image.new("RGB", (20, 16))
    with pytest.raises(SettingsError, match=r"saliency must have shape \(16, 20\)"):
        advcam.localization_maps(mapper(), picture, [0], SETTINGS, saliency=torch.ones(8, 10))


def test_climbed_pairs_take_maps_of_any_size():
    small = left_half()[:, ::2, ::2]
    full = climb_pairs(mapper(), images(1), torch.tensor([2]), SETTINGS, saliency=left_half()).maps
    assert torch.equal(climb_pairs(mapper(), images(1), torch.tensor([2]), SETTINGS, saliency=small).maps, full)
