"""The climb on small random networks, against the program's way of computing it, and its promises."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import advcam
from advcam.attribute.climb import climb_pairs
from advcam.attribute.pairs import check_pairs
from advcam.errors import ModelError, SettingsError

RELEASED = advcam.ClimbSettings.released()


def mapper(classes: int = 4, channels: int = 6, seed: int = 1) -> advcam.ClassMapper:
    torch.manual_seed(seed)
    features = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, channels, 3, padding=1),
        nn.ReLU(),
    )
    features[1].running_mean.uniform_(-0.2, 0.2)
    return advcam.ClassMapper(features.double(), torch.randn(classes, channels).double())


def images(count: int = 3, height: int = 16, width: int = 20) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(2)).double()


def by_two_backward_passes(
    mapper: advcam.ClassMapper, image: torch.Tensor, target: int, settings: advcam.ClimbSettings
) -> torch.Tensor:
    """The program's way for one pair: the map's channel weights come from a backward pass to the features."""
    x = torch.stack([image, image.flip(-1)])
    total, first = 0.0, None
    for _ in range(settings.steps):
        x = x.detach().requires_grad_()
        f = mapper.features(x)
        f.retain_grad()
        s = torch.einsum("kc,bchw->bkhw", mapper.weight, f)
        s[:, target].relu().sum().backward(retain_graph=True)
        weights = f.grad.sum(dim=(2, 3)) / ((f.grad > 0).sum() + 1e-12)
        r = torch.einsum("bc,bchw->bhw", weights, f).relu()
        region = r[0] + r[1].flip(-1)
        first = region.detach() if first is None else first
        total = total + region.detach()
        y = s.relu().mean(dim=(2, 3))
        high = region.detach() / region.detach().max() > settings.mask_threshold
        others = y.sum() - y[:, target].sum()
        loss = y[:, target].sum() - others - settings.reg_weight * (high * (region - first).abs()).sum()
        x.grad = None
        (g,) = torch.autograd.grad(loss, x)
        g = g / (g.abs().max() + 1e-12)
        low, up = x.min().float().double(), x.max().float().double()
        x = (x.detach() + settings.step_size * g).clamp(low, up)
    return total


@pytest.mark.parametrize("reg_weight", [0.0, 0.3, 7.0])
def test_closed_form_equals_grad_cam_by_backward(reg_weight):
    net, settings = mapper().eval(), replace(RELEASED, steps=6, reg_weight=reg_weight)
    targets = torch.tensor([0, 2, 1])
    found = advcam.climb(net, images(), targets, settings)
    for index, target in enumerate(targets.tolist()):
        wanted = by_two_backward_passes(net, images()[index], target, settings)
        torch.testing.assert_close(found[index], wanted, rtol=1e-10, atol=1e-14)


def test_a_batch_changes_nothing():
    net, settings = mapper(), replace(RELEASED, steps=27, reg_weight=0.3)
    targets = torch.tensor([0, 2, 1])
    together = advcam.climb(net, images(), targets, settings)
    alone = torch.cat([advcam.climb(net, images()[i : i + 1], targets[i : i + 1], settings) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-14)


def test_one_step_in_single_precision_stays_near_double():
    net, settings = mapper(), replace(RELEASED, steps=2)
    targets = torch.tensor([0, 2, 1])
    double = advcam.climb(net, images(), targets, settings)
    single = advcam.climb(net.float(), images().float(), targets, settings)
    assert single.dtype == torch.float32
    assert (single - double).abs().max() < 1e-4 * double.max()


def test_first_map_and_scores_are_those_of_the_unchanged_image():
    net, targets = mapper().eval(), torch.tensor([3, 1, 0])
    climbed = climb_pairs(net, images(), targets, replace(RELEASED, steps=3))
    plain = advcam.cam(net, images(), targets) + advcam.cam(net, images().flip(-1), targets).flip(-1)
    torch.testing.assert_close(climbed.cam, plain)
    torch.testing.assert_close(climbed.logits, (net(images()) + net(images().flip(-1))) / 2)


def test_climbing_raises_the_objective():
    steps = []
    settings = replace(RELEASED, steps=12, step_size=0.02, reg_weight=0.0)
    advcam.climb(mapper(), images(1), torch.tensor([2]), settings, on_step=steps.append)
    values = [float(step.objective) for step in steps]
    assert values[-1] > values[0]
    assert sum(later > earlier for earlier, later in pairwise(values)) >= 10


def test_pixels_stay_within_the_range_of_the_pair():
    steps = []
    advcam.climb(
        mapper(), images(1), torch.tensor([2]), replace(RELEASED, steps=8, step_size=1.0), on_step=steps.append
    )
    low, high = images(1).min().float(), images(1).max().float()
    assert all(low <= step.images.min() and step.images.max() <= high for step in steps)


def test_class_that_is_not_seen_gives_zeros():
    net = mapper()
    net.weight[1] = -1.0
    climbed = advcam.climb(net, images(), torch.tensor([1, 1, 0]), replace(RELEASED, steps=4))
    assert not climbed[:2].any()
    assert climbed[2].any()
    assert climbed.isfinite().all()


def test_paper_sums_one_map_more_of_one_view_with_the_raw_gradient():
    net, steps = mapper().eval(), []
    settings = replace(advcam.ClimbSettings.paper(), steps=3, reg_weight=0.5, mask_threshold=0.1)
    total = advcam.climb(net, images(1), torch.tensor([2]), settings, on_step=steps.append)
    assert len(steps) == 4
    assert steps[0].images.shape == (1, 1, 3, 16, 20)
    x = images(1)
    first = net.class_maps(x)[:, 2].detach()
    summed = torch.zeros_like(first)
    for step in range(4):
        x = x.detach().requires_grad_()
        maps = net.class_maps(x)
        summed += maps[:, 2].detach()
        if step == 3:
            break
        y = maps.mean(dim=(2, 3))[0]
        high = maps[:, 2].detach() > 0.1
        loss = y[2] - (y.sum() - y[2]) - 0.5 * (high * (maps[:, 2] - first).abs()).sum()
        (g,) = torch.autograd.grad(loss, x)
        x = x + 0.008 * g
    torch.testing.assert_close(total, summed, rtol=1e-10, atol=1e-14)


def test_salient_background_is_held():
    net, settings = mapper(), replace(RELEASED, steps=10, reg_weight=7.0, mask_threshold=1.0)
    saliency = torch.ones(1, 16, 20).double()
    free = advcam.climb(net, images(1), torch.tensor([2]), settings, saliency=saliency)
    torch.testing.assert_close(free, advcam.climb(net, images(1), torch.tensor([2]), settings))
    saliency[:, :, :10] = 0
    held = advcam.climb(net, images(1), torch.tensor([2]), settings, saliency=saliency)
    once = advcam.climb(net, images(1), torch.tensor([2]), replace(settings, steps=1))
    drift = ((held - 10 * once).abs() / 10)[:, :, :5].mean()
    assert drift < 0.5 * ((free - 10 * once).abs() / 10)[:, :, :5].mean()


def test_the_callers_network_is_left_as_it_was():
    net = mapper().train()
    advcam.climb(net, images(), torch.tensor([0, 1, 2]), replace(RELEASED, steps=2))
    assert net.features[1].training
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert all(parameter.grad is None for parameter in net.parameters())
    np.testing.assert_array_equal(net.features[1].num_batches_tracked, 0)


@pytest.mark.parametrize("change", [{"steps": 0}, {"step_size": 0.0}, {"reg_weight": -1.0}, {"mask_threshold": 1.5}])
def test_settings_that_make_no_sense(change):
    with pytest.raises(SettingsError, match=next(iter(change))):
        replace(RELEASED, **change)


def test_steps_at_scales():
    assert [RELEASED.steps_at(scale) for scale in (0.5, 1.0, 1.5, 2.0)] == [13, 27, 27, 27]
    assert [replace(RELEASED, steps=t).steps_at(0.5) for t in (5, 6, 10, 11)] == [5, 5, 5, 5]
    assert RELEASED.scale_weight((0.5, 1.0)) == 2
    assert RELEASED.scale_weight((1.0, 1.5)) == 1


def test_bad_arguments_are_named():
    net = mapper()
    with pytest.raises(SettingsError, match="one class per image"):
        check_pairs(images(), torch.tensor([0]), 4)
    with pytest.raises(SettingsError, match=r"0\.\.3"):
        advcam.climb(net, images(1), torch.tensor([4]))
    with pytest.raises(ModelError, match="features have shape"):
        advcam.ClassMapper(nn.Identity(), torch.ones(20, 7)).class_maps(images(1).float())
