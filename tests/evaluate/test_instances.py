"""Average precision of instance masks, on cases that can be counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from advcam.errors import DataError
from advcam.evaluate.instances import InstanceMatcher, area_under, matched, overlap


def bars(*spans: tuple[int, int]) -> torch.Tensor:
    """Masks of 1 x 20 pixels, true from the first to before the second number of each span."""
    masks = torch.zeros(len(spans), 1, 20, dtype=torch.bool)
    for mask, (first, last) in zip(masks, spans, strict=True):
        mask[0, first:last] = True
    return masks


def numbers(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


def scores(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_overlap():
    found = overlap(bars((0, 10), (0, 0)), bars((0, 10), (5, 15), (12, 20)))
    assert found.tolist() == [[1.0, 5 / 15, 0.0], [0.0, 0.0, 0.0]]
    assert overlap(bars(), bars((0, 1))).shape == (0, 1)


def test_one_detection_per_object():
    overlaps = overlap(bars((0, 9), (0, 10), (10, 20), (12, 16)), bars((0, 10), (10, 20)))
    assert matched(overlaps, 0.5) == [True, False, True, False]
    # What does not reach an object leaves it to the next.
    assert matched(overlap(bars((0, 4), (0, 10)), bars((0, 10))), 0.5) == [False, True]
    assert matched(overlap(bars((0, 4)), bars()), 0.5) == [False]


def test_area_under():
    assert area_under(np.array([True, True]), 2) == 1.0
    assert area_under(np.array([False, True]), 1) == 0.5
    assert area_under(np.array([], bool), 3) == 0.0
    # Precisions 1, 1/2, 2/3, 3/4 at recalls 1/4, 1/4, 2/4, 3/4: the second to fourth are raised to 3/4.
    assert area_under(np.array([True, False, True, True]), 4) == pytest.approx((1 + 0.75 + 0.75) / 4)


def test_over_images_and_classes():
    matcher = InstanceMatcher(3)
    # Class 0: right at both overlaps; a second one on the same object is wrong.
    # Class 1: overlap 6 of 10 pixels, right at 0.5 alone.
    matcher.add(
        scores(0.9, 0.8, 0.5), numbers(0, 0, 1), bars((0, 10), (0, 9), (10, 16)), numbers(0, 1), bars((0, 10), (10, 20))
    )
    # Class 0 again, surer but on nothing; class 2 is found where there is none.
    matcher.add(scores(0.95, 0.7), numbers(0, 2), bars((0, 5), (5, 10)), numbers(0), bars((10, 20)))
    half, strict = matcher.compute()
    assert (half.iou, strict.iou, half.image_count) == (0.5, 0.75, 2)
    # Class 0, in order of the scores: wrong, right, wrong, of two objects.
    assert half.per_class[:2] == (pytest.approx(0.25), 1.0)
    assert strict.per_class[:2] == (pytest.approx(0.25), 0.0)
    assert math.isnan(half.per_class[2])
    assert half.mean == pytest.approx(0.625)
    assert strict.mean == pytest.approx(0.125)


def test_nothing_found_and_nothing_there():
    matcher = InstanceMatcher(1)
    assert math.isnan(matcher.compute()[0].mean)
    matcher.add(scores(), numbers(), bars(), numbers(0), bars((0, 3)))
    assert matcher.compute()[0].mean == 0.0


def test_masks_of_two_images():
    with pytest.raises(DataError, match="1 x 20 pixels cannot be held against objects of 2 x 20"):
        InstanceMatcher(1).add(
            scores(1.0), numbers(0), bars((0, 1)), numbers(0), torch.zeros(1, 2, 20, dtype=torch.bool)
        )
