"""Affinities of frozen features against their formulas, and the walk over them."""

from __future__ import annotations

import math

import pytest
import timm
import torch

from advcam.errors import DataError, ModelError
from advcam.refine.feature_affinity import (
    attention_affinity,
    boxes_mask,
    class_distributions,
    cosine_affinity,
    jensen_shannon_affinity,
    sinkhorn,
    spread,
)
from advcam.refine.pairs import pair_offsets
from advcam.refine.vit_tokens import attention_maps, patch_features
from advcam.refine.walk import random_walk


def pair_by_pair(grid: torch.Tensor, radius: int, alike) -> torch.Tensor:
    _, height, width = grid.shape
    planes = torch.zeros(len(pair_offsets(radius)), height, width, dtype=grid.dtype)
    for o, (dy, dx) in enumerate(pair_offsets(radius)):
        for y in range(height):
            for x in range(width):
                if y + dy < height and 0 <= x + dx < width:
                    planes[o, y, x] = alike(grid[:, y, x], grid[:, y + dy, x + dx])
    return planes


def jensen_shannon(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    mean = (p + q) / 2
    return 1 - ((p * (p / mean).log()).sum() + (q * (q / mean).log()).sum()) / 2 / math.log(2)


def test_jensen_shannon_equals_its_formula():
    torch.manual_seed(0)
    opinions = class_distributions(4 * torch.randn(5, 6, 7, dtype=torch.float64))
    torch.testing.assert_close(opinions.sum(dim=0), torch.ones(6, 7, dtype=torch.float64))
    expected = pair_by_pair(opinions, 3, jensen_shannon)
    torch.testing.assert_close(jensen_shannon_affinity(opinions, radius=3), expected, rtol=0, atol=1e-14)


def test_cosine_equals_its_formula():
    torch.manual_seed(0)
    features = torch.randn(4, 6, 7, dtype=torch.float64)
    cosine = torch.nn.functional.cosine_similarity
    expected = pair_by_pair(features, 3, lambda a, b: cosine(a, b, dim=0).clamp(min=0))
    torch.testing.assert_close(cosine_affinity(features, radius=3), expected, rtol=0, atol=1e-14)


def test_sinkhorn_balances_and_the_affinity_is_symmetric():
    torch.manual_seed(0)
    attention = torch.rand(3, 12, 12, dtype=torch.float64).softmax(dim=-1)
    balanced = sinkhorn(attention.mean(dim=0), rounds=50)
    torch.testing.assert_close(balanced.sum(dim=0), torch.ones(12, dtype=torch.float64))
    torch.testing.assert_close(balanced.sum(dim=1), torch.ones(12, dtype=torch.float64))
    affinity = attention_affinity(attention, rounds=50)
    assert torch.equal(affinity, affinity.T)
    torch.testing.assert_close(affinity, (balanced + balanced.T) / 2)


def test_spread_is_a_power_of_the_affinity_within_the_boxes():
    torch.manual_seed(0)
    affinity = attention_affinity(torch.rand(2, 20, 20, dtype=torch.float64))
    maps = torch.rand(2, 4, 5, dtype=torch.float64)
    everywhere = (maps.flatten(1) @ affinity @ affinity).view_as(maps)
    torch.testing.assert_close(spread(maps, affinity, box_threshold=None), everywhere)
    torch.testing.assert_close(spread(maps, affinity, box_threshold=0.8), everywhere * boxes_mask(maps, 0.8))
    with pytest.raises(DataError):
        spread(maps, affinity[:6, :6])


def test_boxes_lie_around_the_parts_of_each_map():
    maps = torch.zeros(2, 5, 6)
    maps[0, 0, 0], maps[0, 3, 2], maps[0, 4, 4] = 1.0, 0.6, 0.3
    maps[1, 1, 1], maps[1, 2, 2] = 0.5, 0.4
    boxes = boxes_mask(maps, 0.5)
    assert boxes[0].nonzero().tolist() == [[0, 0], [3, 2]]
    assert boxes[1].nonzero().tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert not boxes_mask(torch.zeros(1, 3, 3), 0.5).any()


def test_a_walk_fills_the_cells_of_one_opinion_and_no_others():
    class_maps = torch.full((2, 8, 10), -6.0)
    class_maps[0, :, :5], class_maps[1, :, 5:] = 6.0, 6.0
    affinity = jensen_shannon_affinity(class_distributions(class_maps), radius=3)
    maps = torch.zeros(1, 8, 10)
    maps[0, 4, 2] = 1.0
    walked = random_walk(maps, affinity**8, steps=256)[0]
    assert walked[:, :5].min() > 0.9 * walked.max()
    assert walked[:, 5:].max() < 1e-3 * walked.max()


@pytest.fixture(scope="module")
def transformer():
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", img_size=(48, 64), depth=3, num_classes=4).eval()


def test_attention_is_that_of_the_blocks(transformer):
    """The blocks' own softmax, seen where timm computes it unfused."""
    images, expected = torch.randn(2, 3, 48, 64), []
    attention, grid = attention_maps(transformer, images, layers=2)
    assert grid == (3, 4)
    for block in transformer.blocks[-2:]:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_pre_hook(lambda _, inputs: expected.append(inputs[0]))
    with torch.no_grad():
        transformer(images)
    for block in transformer.blocks[-2:]:
        block.attn.attn_drop._forward_pre_hooks.clear()
    torch.testing.assert_close(attention, torch.stack([e.mean(dim=1)[:, 1:, 1:] for e in expected], dim=1))


def test_patch_features_are_the_tokens_in_their_places(transformer):
    images = torch.randn(1, 3, 48, 64)
    features = patch_features(transformer, images)
    with torch.no_grad():
        tokens = transformer.forward_features(images)[0, 1:]
    assert torch.equal(features[0, :, 1, 2], tokens[4 + 2])
    with pytest.raises(ModelError):
        patch_features(torch.nn.Conv2d(3, 4, 1), images)
