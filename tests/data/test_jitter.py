"""Colour changes: each property by its definition, in torchvision's way."""

from __future__ import annotations

import numpy as np
import pytest

from advcam.data.jitter import jitter_colours


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def test_without_limits_nothing_changes(picture):
    assert np.array_equal(jitter_colours(picture, (0.0, 0.0, 0.0, 0.0), np.random.default_rng(1)), picture)


def test_the_same_numbers_give_the_same_picture(picture):
    limits = (0.3, 0.3, 0.3, 0.1)
    first, second, other = (jitter_colours(picture, limits, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert first.dtype == np.uint8
    assert first.shape == picture.shape


def test_brightness_multiplies(picture):
    generator = np.random.default_rng(3)
    generator.permutation(4)
    factor = generator.uniform(0.5, 1.5)
    found = jitter_colours(picture, (0.5, 0.0, 0.0, 0.0), np.random.default_rng(3))
    assert np.abs(found - np.clip(picture * factor, 0, 255)).max() <= 1


def test_saturation_keeps_the_grey_value(picture):
    def grey(image: np.ndarray) -> np.ndarray:
        return image @ np.array([0.299, 0.587, 0.114])

    mild = (picture // 4 + 96).astype(np.uint8)  # nothing is clipped
    found = jitter_colours(mild, (0.0, 0.0, 0.5, 0.0), np.random.default_rng(0))
    assert not np.array_equal(found, mild)
    assert np.abs(grey(found) - grey(mild)).max() <= 2


def test_hue_keeps_grey_pixels_and_the_brightest_channel(picture):
    found = jitter_colours(picture, (0.0, 0.0, 0.0, 0.5), np.random.default_rng(0))
    assert not np.array_equal(found, picture)
    assert np.abs(found.max(axis=-1).astype(int) - picture.max(axis=-1)).max() <= 1
    grey = np.full((4, 4, 3), 90, np.uint8)
    assert np.array_equal(jitter_colours(grey, (0.0, 0.0, 0.0, 0.5), np.random.default_rng(0)), grey)
