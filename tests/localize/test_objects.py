"""Boxes for users: where the objects are in the image, how sure, and which are left out."""

from __future__ import annotations

import pytest
import torch

from advcam.errors import DataError, SettingsError
from advcam.localize import find_objects
from advcam.localize.settings import LocalizeSettings


@pytest.fixture
def two_objects() -> torch.Tensor:
    """A large object of height 0.8 with a hole, a small one of height 1.0, a speck of 0.5."""
    score_map = torch.zeros(20, 30)
    score_map[2:12, 3:13] = 0.8
    score_map[5:7, 5:7] = 0.0
    score_map[14:18, 20:24] = 1.0
    score_map[0, 29] = 0.5
    return score_map


def test_boxes_and_scores(two_objects) -> None:
    found = find_objects(two_objects, (20, 30))
    assert found.boxes.tolist() == [[20, 14, 24, 18], [3, 2, 13, 12]]
    torch.testing.assert_close(found.scores, torch.tensor([1.0, 0.8], dtype=torch.float64), atol=1e-6, rtol=0)
    # Nothing but zeros lies below 0.5, so any cut between is as good, and the middle one is taken.
    assert found.threshold == 0.26


def test_given_threshold(two_objects) -> None:
    found = find_objects(two_objects, (20, 30), LocalizeSettings(threshold=0.9))
    assert found.boxes.tolist() == [[20, 14, 24, 18]]
    assert found.threshold == 0.9


def test_small_components_are_left_out_by_area(two_objects) -> None:
    found = find_objects(two_objects, (20, 30), LocalizeSettings(min_area=0, threshold=0.2))
    assert found.boxes.tolist() == [[20, 14, 24, 18], [3, 2, 13, 12], [29, 0, 30, 1]]
    found = find_objects(two_objects, (20, 30), LocalizeSettings(min_area=0.2))
    assert found.boxes.tolist() == [[3, 2, 13, 12]]


def test_boxes_that_lie_in_one_another_become_one() -> None:
    score_map = torch.zeros(20, 20)
    score_map[2:18, 2:4] = score_map[16:18, 2:18] = 0.7
    score_map[5:9, 8:12] = 1.0
    found = find_objects(score_map, (20, 20), LocalizeSettings(threshold=0.5))
    assert (found.boxes.tolist(), found.scores.tolist()) == ([[2, 2, 18, 18]], [1.0])
    apart = find_objects(score_map, (20, 20), LocalizeSettings(threshold=0.5, merge=None))
    assert apart.boxes.tolist() == [[8, 5, 12, 9], [2, 2, 18, 18]]


def test_the_threshold_without_ground_truth_follows_the_map(two_objects) -> None:
    wide, narrow = two_objects + 0.0, two_objects.clone()
    narrow[narrow == 0] = 0.3
    settings = LocalizeSettings(min_area=0.2)
    assert find_objects(wide, (20, 30), settings).threshold < find_objects(narrow, (20, 30), settings).threshold


def test_sweeping_takes_ground_truth(two_objects) -> None:
    with pytest.raises(SettingsError, match="takes ground truth"):
        find_objects(two_objects, (20, 30), LocalizeSettings(threshold="swept"))


def test_max_objects(two_objects) -> None:
    assert len(find_objects(two_objects, (20, 30), LocalizeSettings(max_objects=1)).boxes) == 1


def test_boxes_are_in_pixels_of_the_image() -> None:
    score_map = torch.zeros(10, 10)
    score_map[2:6, 4:8] = 1.0
    x0, y0, x1, y1 = find_objects(score_map, (200, 400), LocalizeSettings(threshold=0.5)).boxes[0].tolist()
    assert abs(x0 - 160) <= 3
    assert abs(x1 - 320) <= 3
    assert abs(y0 - 40) <= 2
    assert abs(y1 - 120) <= 2


@pytest.mark.parametrize("score_map", [torch.zeros(5, 5), torch.full((5, 5), 0.3), torch.full((5, 5), torch.nan)])
def test_maps_without_information_have_no_objects(score_map) -> None:
    found = find_objects(score_map, (40, 50))
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == (0,)


def test_the_image_is_named() -> None:
    with pytest.raises(DataError, match=r"dogs/7: a score map must have height and width"):
        find_objects(torch.zeros(0, 0), (5, 5), name="dogs/7")


@pytest.mark.parametrize(
    ("field", "value"), [("threshold", 1.0), ("min_area", 2.0), ("max_objects", 0), ("threshold", -0.1), ("merge", 0.0)]
)
def test_settings_that_make_no_sense(field, value) -> None:
    with pytest.raises(SettingsError, match=field):
        LocalizeSettings(**{field: value})
