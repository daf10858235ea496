"""A threshold from maps alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from advcam.errors import DataError
from advcam.refine.threshold import choose_threshold
from advcam.saliency.threshold import between_variance


def blob(height: float, spread: float, size: int = 64) -> torch.Tensor:
    """A round map on a low ground, as localization maps look."""
    axis = torch.linspace(-1, 1, size)
    bump = torch.exp(-(axis[:, None] ** 2 + axis**2) / spread)
    return (height * bump / bump.max())[None]


def test_two_groups_are_cut_in_the_middle_of_the_gap():
    maps = torch.cat([torch.full((1, 6, 8), 0.105), torch.full((1, 4, 8), 0.805)], dim=1)
    choice = choose_threshold([maps])
    assert choice.threshold == pytest.approx(0.46)
    assert choice.separability == pytest.approx(1.0)
    assert choice.foreground == pytest.approx(0.4)
    assert (choice.image_count, choice.skipped) == (1, 0)


def test_criterion_equals_its_definition():
    counts = np.random.default_rng(0).integers(0, 1000, 100)
    values = (np.arange(100) + 0.5) / 100
    share = counts / counts.sum()
    between = between_variance(counts)
    for cut in (1, 13, 50, 99):
        low, high = share[:cut].sum(), share[cut:].sum()
        means = (share[:cut] @ values[:cut] / low, share[cut:] @ values[cut:] / high)
        assert float(between[cut - 1]) == pytest.approx(low * high * (means[1] - means[0]) ** 2, rel=1e-10)


def test_follows_maps_that_are_wider():
    narrow = choose_threshold([blob(1.0, 0.1)]).threshold
    wide = choose_threshold([blob(1.0, 1.0)]).threshold
    assert narrow < wide
    assert 0.3 < narrow < 0.5
    assert 0.5 < wide < 0.7


def test_highest_of_the_classes_counts():
    one, other = blob(1.0, 0.1), blob(1.0, 0.1).roll(20, dims=2)
    both = choose_threshold([torch.cat([one, other])])
    assert both == choose_threshold([torch.maximum(one, other)])


def test_images_without_evidence_say_nothing():
    alone = choose_threshold([blob(1.0, 0.2)])
    with_empty = choose_threshold([torch.zeros(1, 8, 8), blob(1.0, 0.2), torch.zeros(0, 8, 8)])
    assert with_empty.threshold == alone.threshold
    assert (with_empty.image_count, with_empty.skipped) == (1, 2)


def test_half_precision_maps_of_the_run_folder():
    assert choose_threshold([blob(1.0, 0.2).half()]).threshold == pytest.approx(
        choose_threshold([blob(1.0, 0.2)]).threshold, abs=0.01
    )


def test_what_cannot_be_chosen_from_is_named():
    with pytest.raises(DataError, match="no image has a localization map"):
        choose_threshold([torch.zeros(1, 4, 4)])
    with pytest.raises(DataError, match="no image has a localization map"):
        choose_threshold([])
    for wrong in (torch.full((1, 2, 2), 1.5), torch.full((1, 2, 2), -0.1), torch.full((1, 2, 2), torch.nan)):
        with pytest.raises(DataError, match="image 1: a localization map has values outside"):
            choose_threshold([blob(1.0, 0.2), wrong])


def test_constant_maps_have_no_two_groups():
    choice = choose_threshold([torch.full((1, 4, 4), 0.5)])
    assert choice.separability == 0.0
