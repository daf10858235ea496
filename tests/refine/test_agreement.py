"""Thresholds without masks, against slow readings of what they say."""

from __future__ import annotations

import pytest
import torch

from advcam.errors import DataError
from advcam.refine import regions
from advcam.refine.agreement import agreements, best_threshold, binned, stabilities


def iou(a: torch.Tensor, b: torch.Tensor) -> float:
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 0.0


def both_sides(a: torch.Tensor, b: torch.Tensor) -> float:
    return (iou(a, b) + iou(~a, ~b)) / 2


def test_agreement_and_stability_equal_masks_made_one_by_one():
    torch.manual_seed(0)
    bins, parts = torch.randint(0, 100, (14, 19)), torch.randint(1, 8, (2, 14, 19))
    found, stable = agreements(bins, parts), stabilities(bins, delta=4)
    assert len(found) == len(stable) == 99
    for t in (5, 37, 50, 81, 95):
        above = bins >= t
        voted = [regions(above.long(), part, covering=None) > 0 for part in parts]
        assert found[t - 1] == pytest.approx(sum(both_sides(above, one) for one in voted) / 2, abs=1e-12)
        assert stable[t - 1] == pytest.approx(both_sides(bins >= t - 4, bins >= t + 4), abs=1e-12)
    assert stable[:4].sum() == stable[-4:].sum() == 0


def test_an_object_of_whole_regions_is_found_by_both():
    torch.manual_seed(0)
    parts = torch.ones(40, 40, dtype=torch.int64)
    parts[10:30, 12:28] = 2
    # Wide shoulders around the object: high on its two regions alone.
    values = 0.5 * torch.exp(-((torch.arange(40) - 20.0) ** 2) / 300)
    maps = (values[:, None] * values * 4 * 0.55)[None].clone()
    maps[0, parts == 2] += 0.4
    bins = binned(maps.clamp(0, 1))
    for scores in (agreements(bins, parts), stabilities(bins)):
        chosen = best_threshold(scores[None])
        assert iou(bins >= round(100 * chosen), parts == 2) == 1.0


def test_bins_and_sizes():
    assert binned(torch.tensor([[[0.0, 0.299, 0.3, 1.0]]])).tolist() == [[0, 29, 30, 99]]
    with pytest.raises(DataError):
        agreements(torch.zeros(3, 4, dtype=torch.int64), torch.ones(4, 3, dtype=torch.int64))
