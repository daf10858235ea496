"""Section 4.5: all cases of label and saliency."""

from __future__ import annotations

import numpy as np

from advcam.refine.seeds import without_ambiguous


def test_all_cases():
    mask = np.array([[0, 0, 1, 1, 254, 254, 255, 255]], np.uint8)
    salient = np.array([[False, True] * 4])
    found = without_ambiguous(mask, salient)
    assert found.tolist() == [[0, 255, 255, 1, 255, 254, 255, 255]]
    assert found.dtype == np.uint8
    assert mask.tolist() == [[0, 0, 1, 1, 254, 254, 255, 255]]


def test_a_detector_that_agrees_changes_nothing():
    mask = np.random.default_rng(0).integers(0, 3, (5, 7), dtype=np.uint8)
    assert np.array_equal(without_ambiguous(mask, mask > 0), mask)
