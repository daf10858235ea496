"""A choice by few masks: its figure, and what is left of it on others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from advcam.errors import DataError
from advcam.evaluate.bootstrap import choose, miou
from advcam.evaluate.scores import SegmentationScores


def noisy(generator: np.random.Generator, quality: np.ndarray, images: int) -> np.ndarray:
    """Confusions of candidates of which some are right more often, on images of unequal difficulty."""
    rates = np.clip(
        quality + generator.normal(0, 0.05, (images, 1)) + generator.normal(0, 0.04, (images, len(quality))), 0, 1
    )
    right = generator.binomial(400, rates)
    return np.stack([np.stack([right, 400 - right], -1), np.stack([400 - right, right], -1)], -2)


def test_miou_is_that_of_the_scores():
    counts = np.random.default_rng(0).integers(0, 50, (3, 5, 5))
    counts[1, 4], counts[1, :, 4] = 0, 0
    expected = [SegmentationScores(torch.from_numpy(one), 1).miou for one in counts]
    np.testing.assert_allclose(miou(counts), expected, rtol=1e-12)


def test_a_clear_winner_wins_every_draw_and_loses_nothing():
    confusions = noisy(np.random.default_rng(1), np.array([0.5, 0.9, 0.7]), 20)
    choice = choose(confusions)
    assert choice.best == 1
    assert choice.wins.tolist() == [0, 1, 0]
    assert abs(choice.optimism) < 0.002
    assert choice.interval[0] < choice.miou < choice.interval[1]


def test_the_optimism_is_what_the_choice_loses_on_other_images():
    generator = np.random.default_rng(2)
    quality = np.full(12, 0.7)
    truth = miou(noisy(generator, quality, 4000).sum(axis=0)).mean()
    choices = [choose(noisy(generator, quality, 10), draws=100, seed=s) for s in range(60)]
    loss = np.mean([choice.miou for choice in choices]) - truth
    assert loss > 0.015
    assert np.mean([choice.optimism for choice in choices]) == pytest.approx(loss, abs=0.4 * loss)
    covered = np.mean([choice.interval[0] <= truth <= choice.interval[1] for choice in choices])
    assert covered > 0.75


def test_same_seed_same_interval_and_one_image_is_refused():
    confusions = noisy(np.random.default_rng(3), np.array([0.6, 0.62]), 5)
    assert choose(confusions).to_json() == choose(confusions).to_json()
    with pytest.raises(DataError):
        choose(confusions[:1])
