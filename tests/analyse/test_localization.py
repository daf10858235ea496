"""Where the scores lie, and which boxes go wrong."""

from __future__ import annotations

import pytest
import torch

from advcam.analyse.localization import ScoreDistributions, best_box, worst_first
from advcam.errors import DataError
from advcam.evaluate.settings import ScoreMapSettings

SMALL = ScoreMapSettings(size=20)


def test_a_map_that_is_high_in_the_box_has_the_wider_gap() -> None:
    sharp, blurred = torch.zeros(20, 20), torch.zeros(20, 20)
    sharp[5:15, 5:15], blurred[5:15, 5:15] = 1.0, 0.6
    sharp[0, 0] = blurred[0, 0] = 1.0
    gaps = []
    for score_map in (sharp, blurred):
        distributions = ScoreDistributions(SMALL)
        distributions.update(score_map, [(5, 5, 14, 14)], (20, 20))
        found = distributions.compute()
        assert found.score.diff().max() <= 0
        gaps.append(found.gap)
    assert gaps[0] == pytest.approx(1 - 1 / 300)
    assert gaps[1] == pytest.approx(0.6 - 1 / 300)


def test_the_mean_over_images_and_the_area() -> None:
    distributions = ScoreDistributions(SMALL)
    half = torch.zeros(20, 20)
    half[:10] = 1.0
    distributions.update(half)
    distributions.update(torch.zeros(20, 20))
    found = distributions.compute()
    assert (found.images, found.at(0.25), found.at(0.75)) == (2, 0.5, 0.0)
    assert found.area == pytest.approx(0.25, abs=0.01)
    assert torch.tensor(found.inside).isnan()
    with pytest.raises(DataError, match="at least one image"):
        ScoreDistributions().compute()


def test_images_without_boxes_leave_the_gap_to_the_others() -> None:
    distributions = ScoreDistributions(SMALL)
    sharp = torch.zeros(20, 20)
    sharp[5:15, 5:15] = 1.0
    distributions.update(sharp, [(5, 5, 14, 14)], (20, 20))
    distributions.update(torch.rand(20, 20))
    found = distributions.compute()
    assert (found.inside, found.outside, found.images) == (1.0, 0.0, 2)
    inside = sharp.numpy() > 0
    by_object = ScoreDistributions(SMALL)
    by_object.update(sharp, inside=inside.repeat(2, axis=0).repeat(2, axis=1))
    assert by_object.compute().gap == 1.0


def test_the_best_box_at_a_threshold() -> None:
    score_map = torch.zeros(20, 20)
    score_map[2:8, 2:8], score_map[12:18, 10:18] = 0.5, 1.0
    found = best_box(score_map, [(20, 20, 80, 80)], (200, 200), 0.2, SMALL)
    assert [round(20 * side) for side in found.box] == [2, 2, 8, 8]
    assert found.iou > 0.9
    assert best_box(score_map, [(20, 20, 80, 80)], (200, 200), 0.6, SMALL).iou == 0
    assert worst_first([0.5, 0.1, 0.9], 5) == [1, 0, 2]
