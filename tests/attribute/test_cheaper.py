"""Climbing from a feature map, and pairs that stop by themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import advcam
from advcam.attribute.climb import climb_pairs
from advcam.errors import ModelError, SettingsError
from advcam.models.fold import fold_batch_norm
from advcam.models.split import skipping, split_at

RELEASED = advcam.ClimbSettings.released()
TARGETS = torch.tensor([0, 2, 1, 3])


def mapper(first: nn.Module | None = None) -> advcam.ClassMapper:
    torch.manual_seed(1)
    features = nn.Sequential(
        first or nn.Identity(),
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(12, 6, 3, padding=1),
        nn.ReLU(),
    )
    return advcam.ClassMapper(features.double(), torch.randn(4, 6).double()).eval()


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, 16, 20, generator=torch.Generator().manual_seed(2)).double()


@pytest.mark.parametrize("settings", [RELEASED, advcam.ClimbSettings.paper()], ids=["released", "paper"])
def test_a_climb_from_the_input_is_the_climb_of_the_pixels(settings):
    """Cut behind a layer that changes nothing, with the step brought to the pixels' unit."""
    settings = replace(settings, steps=6, reg_weight=0.3)
    pixels = images()
    pair = torch.stack([pixels, pixels.flip(-1)], dim=1) if settings.flip else pixels[:, None]
    for index in range(4):
        unit = float(pair[index].std()) ** (1 if settings.normalize_gradient else 2)
        own, target = pixels[index : index + 1], TARGETS[index : index + 1]
        found = advcam.climb(
            split_at(mapper(), "0"), own, target, replace(settings, step_size=settings.step_size / unit)
        )
        torch.testing.assert_close(found, advcam.climb(mapper(), own, target, settings), rtol=1e-9, atol=1e-12)


def test_a_climb_from_a_layer_equals_one_of_the_layers_behind_it():
    """The feature map of both views climbs as pixels would; written out step by step."""
    net, settings = mapper(), replace(RELEASED, steps=4, reg_weight=0.5, clamp=False)
    found = advcam.climb(split_at(net, "3"), images(1), TARGETS[1:2], settings)
    x = net.features[:4](torch.cat([images(1), images(1).flip(-1)])).detach()
    unit, total = x.std(), 0.0
    for step in range(4):
        x = x.detach().requires_grad_()
        s = torch.einsum("kc,bchw->bkhw", net.weight, net.features[4:](x.clone()))
        r = s[:, 2].relu()
        share = (r > 0).sum(dim=(1, 2)) / ((r > 0).sum() * (net.weight[2] > 0).sum())
        weighed = r * share[:, None, None]
        region = weighed[0] + weighed[1].flip(-1)
        first = region.detach() if step == 0 else first
        total = total + region.detach()
        y = s.relu().mean(dim=(2, 3))
        high = region.detach() / region.max().detach() > 0.5
        loss = 2 * y[:, 2].sum() - y.sum() - 0.5 * (high * (region - first).abs()).sum()
        (g,) = torch.autograd.grad(loss, x)
        x = x + settings.step_size * unit * g / g.abs().max()
    torch.testing.assert_close(found[0], total, rtol=1e-9, atol=1e-12)


def test_the_share_that_is_skipped_chooses_the_layer():
    net = mapper()
    # 3 x 8, 8 x 12 and 12 x 6 channels on one grid, and the head's 6 x 4: 216, 864, 648 and 24 per cell.
    assert skipping(net, 0.0) is net
    assert skipping(net, 0.2).layer == "2"
    assert skipping(net, 0.7).layer == "4"
    assert skipping(split_at(net, "3"), 0.2).layer == "3"
    settings = replace(RELEASED, steps=3)
    torch.testing.assert_close(
        advcam.climb(net, images(), TARGETS, replace(settings, skip=0.2)),
        advcam.climb(split_at(net, "2"), images(), TARGETS, settings),
    )
    with pytest.raises(ModelError, match=r"no layer to climb from before 1e-05 of its multiplications"):
        skipping(advcam.ClassMapper(nn.Sequential(nn.Conv2d(3, 6, 3)), torch.ones(4, 6)), 0.00001)


def test_a_folded_network_is_split_at_what_is_left_of_its_blocks():
    blocks = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)), nn.Conv2d(6, 6, 3, padding=1)
    )
    folded = fold_batch_norm(advcam.ClassMapper(blocks.eval(), torch.ones(4, 6)))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert skipping(folded, 0.5).layer == "0.0"


def test_the_first_map_and_the_scores_are_those_of_the_whole_network():
    whole = climb_pairs(mapper(), images(), TARGETS, replace(RELEASED, steps=2))
    split = climb_pairs(split_at(mapper(), "3"), images(), TARGETS, replace(RELEASED, steps=2))
    torch.testing.assert_close(split.cam, whole.cam)
    torch.testing.assert_close(split.logits, whole.logits)
    assert not torch.allclose(split.maps, whole.maps)


def test_step_size_is_adapted_for_pixels_only():
    net = advcam.ClassMapper(nn.Identity(), torch.ones(20, 2048), mean=(0.5,) * 3, std=(0.5,) * 3)
    assert RELEASED.adapted_to(net, 16).step_size == pytest.approx(0.08 * 2 / 4.7579, rel=1e-4)
    assert replace(RELEASED, skip=0.3).adapted_to(net, 16).step_size == 0.08


def test_pairs_that_never_stand_still_take_all_steps():
    settings = replace(RELEASED, steps=7)
    every = advcam.climb(mapper(), images(), TARGETS, settings)
    assert torch.equal(advcam.climb(mapper(), images(), TARGETS, replace(settings, stop_change=1e-9)), every)


def changes_of(net: advcam.ClassMapper, settings: advcam.ClimbSettings) -> tuple[torch.Tensor, torch.Tensor]:
    """All maps of the four climbs, and what part of itself each map has changed since the one before."""
    steps = []
    advcam.climb(net, images(), TARGETS, settings, on_step=steps.append)
    maps = torch.stack([step.maps for step in steps])
    return maps, (maps[1:] - maps[:-1]).abs().sum(dim=(2, 3)) / maps[1:].sum(dim=(2, 3))


def test_a_pair_that_stands_still_leaves_the_batch_and_its_last_map_counts_on():
    settings, seen = replace(RELEASED, steps=8), []
    maps, changes = changes_of(mapper(), settings)
    stop = float(changes.median())
    found = advcam.climb(mapper(), images(), TARGETS, replace(settings, stop_change=stop), on_step=seen.append)
    stops = [next((step + 1 for step in range(6) if changes[step, pair] <= stop), 7) for pair in range(4)]
    assert len(set(stops)) > 1
    for pair, stopped in enumerate(stops):
        expected = maps[: stopped + 1, pair].sum(dim=0) + (7 - stopped) * maps[stopped, pair]
        torch.testing.assert_close(found[pair], expected, rtol=1e-9, atol=1e-14)
    for step in seen:
        assert step.pairs == tuple(pair for pair in range(4) if stops[pair] >= step.step)
        assert len(step.maps) == len(step.images) == len(step.pairs)


@pytest.mark.parametrize("layer", [None, "3"])
def test_with_stopping_a_batch_is_one_by_one(layer):
    net = mapper() if layer is None else split_at(mapper(), layer)
    settings, seen = replace(RELEASED, steps=9), []
    settings = replace(settings, stop_change=float(changes_of(net, settings)[1].median()))
    together = advcam.climb(net, images(), TARGETS, settings, on_step=seen.append)
    assert len({len(step.pairs) for step in seen}) > 1
    alone = [advcam.climb(net, images()[i : i + 1], TARGETS[i : i + 1], settings) for i in range(4)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-10, atol=1e-14)


def test_a_class_that_is_not_seen_stops_at_once():
    net, seen = mapper(), []
    net.weight[1] = -1.0
    settings = replace(RELEASED, steps=5, stop_change=1e-6)
    found = advcam.climb(net, images(), torch.tensor([0, 1, 1, 2]), settings, on_step=seen.append)
    assert not found[1:3].any()
    assert [step.pairs for step in seen[1:3]] == [(0, 1, 2, 3), (0, 3)]


@pytest.mark.parametrize("change", [{"skip": 1.0}, {"skip": -0.1}, {"stop_change": -1.0}])
def test_settings_that_make_no_sense(change):
    with pytest.raises(SettingsError, match=next(iter(change))):
        replace(RELEASED, **change)
