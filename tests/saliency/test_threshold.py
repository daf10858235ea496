"""Where the object begins: each rule on maps whose answer is known, and maps that show nothing."""

from __future__ import annotations

import numpy as np
import pytest

from advcam.saliency.threshold import otsu, salient


def test_fixed_takes_what_is_at_the_threshold():
    assert salient(np.array([[0.0, 0.49, 0.5, 1.0]])).tolist() == [[False, False, True, True]]


def test_otsu_by_exhaustion():
    values = np.random.default_rng(0).beta(0.6, 0.9, (20, 30))
    levels = np.rint(values * 255) / 255
    spreads = []
    for cut in np.arange(255) / 255:
        low, high = levels[levels <= cut], levels[levels > cut]
        between = 0.0 if not len(low) or not len(high) else len(low) * len(high) * (high.mean() - low.mean()) ** 2
        spreads.append(between)
    found = spreads[round(otsu(values) * 255 - 0.5)]
    assert found == pytest.approx(max(spreads), rel=1e-12)


def test_otsu_between_two_groups():
    saliency = np.array([[0.1] * 6 + [0.9] * 2])
    assert otsu(saliency) == pytest.approx(0.5, abs=0.01)
    assert salient(saliency, "otsu").tolist() == [[False] * 6 + [True] * 2]


def test_adaptive_is_twice_the_mean_and_at_most_one():
    saliency = np.array([[0.1, 0.1, 0.1, 0.1, 0.6, 0.2, 0.4, 0.0]])
    assert salient(saliency, "adaptive").tolist() == [[False, False, False, False, True, False, True, False]]
    assert salient(np.array([[1.0, 1.0, 0.9]]), "adaptive").tolist() == [[True, True, False]]


@pytest.mark.parametrize("rule", ["fixed", "otsu", "adaptive"])
def test_a_map_of_zeros_has_no_object(rule):
    assert not salient(np.zeros((5, 6), np.float32), rule).any()


def test_a_map_of_one_value_has_no_groups():
    assert not salient(np.full((5, 6), 0.3, np.float32), "otsu").any()
