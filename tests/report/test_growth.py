"""The maps while they grow: what is shown is what the climb does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import advcam
from advcam.attribute.grid import high_res
from advcam.attribute.inputs import to_input
from advcam.attribute.settings import ClimbSettings
from advcam.report.growth import climb_rows, draw_strip, shown_steps


@pytest.fixture
def mapper() -> advcam.ClassMapper:
    torch.manual_seed(3)
    return advcam.ClassMapper(torch.nn.Conv2d(3, 8, 3, stride=4, padding=1), torch.randn(4, 8))


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (32, 48, 3), dtype=np.uint8)


def test_steps_scale_with_the_climb():
    assert shown_steps(27) == (0, 1, 3, 7, 13, 20, 26)
    assert shown_steps(3) == (0, 1, 2)
    assert shown_steps(1) == (0,)


@pytest.mark.parametrize("settings", [ClimbSettings(steps=5), ClimbSettings.paper()])
def test_the_last_map_is_that_of_the_climb(mapper, image, settings):
    rows = climb_rows(mapper, image, 1, settings)
    assert [row.name for row in rows] == ["with regularizer", "without"]
    whole = advcam.climb(mapper, to_input(image, mapper)[None], torch.tensor([1]), settings)
    torch.testing.assert_close(rows[0].maps[-1:], high_res([whole], (32, 48)))
    assert len(rows[0].scores) == settings.steps + settings.last_map
    assert rows[0].maps.shape == (len(shown_steps(len(rows[0].scores))), 32, 48)
    # Both begin at the unchanged image.
    torch.testing.assert_close(rows[0].maps[0], rows[1].maps[0])
    assert rows[0].scores[0] == rows[1].scores[0]


def test_without_the_regularizer_the_score_ends_higher(mapper, image):
    held, free = climb_rows(mapper, image, 1, ClimbSettings(steps=5))
    assert free.scores[-1] > 1.2 * held.scores[-1]


def test_saliency_bounds_the_first_row_alone(mapper, image):
    plain, left = climb_rows(mapper, image, 1, ClimbSettings(steps=4)), torch.zeros(1, 32, 48)
    left[:, :, :24] = 1
    bounded = climb_rows(mapper, image, 1, ClimbSettings(steps=4), left)
    assert bounded[1].scores == plain[1].scores
    assert bounded[0].scores != plain[0].scores
    assert climb_rows(mapper, image, 1, ClimbSettings(steps=4), torch.ones_like(left))[0].scores == plain[0].scores


def test_without_a_regularizer_there_is_one_row(mapper, image):
    (row,) = climb_rows(mapper, image, 0, ClimbSettings(steps=2, reg_weight=0.0))
    strip = draw_strip(image, "a", "cat", [row])
    assert strip.steps == (0, 1)
    assert [shown.caption for shown in strip.rows[0][2]] == ["step 0", "step 1"]
    assert strip.chart.count('class="target"') == 2
