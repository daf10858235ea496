"""Average precision on cases computed by hand, with ties, and over several batches."""

from __future__ import annotations

import math

import pytest
import torch

from advcam.classify.validation import average_precision


def test_by_hand() -> None:
    # Class 0 is found at ranks 1 and 3 (1 and 2/3), class 1 at ranks 2 and 4 (1/2 and 2/4), class 2 never appears.
    scores = torch.tensor([[0.9, 0.4, 0.1], [0.8, 0.3, 0.2], [0.7, 0.2, 0.3], [0.1, 0.1, 0.4]])
    targets = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    result = average_precision(scores, targets).tolist()
    assert result[0] == pytest.approx((1 + 2 / 3) / 2)
    assert result[1] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert math.isnan(result[2])


def test_equal_scores_stand_at_one_place() -> None:
    scores = torch.tensor([[0.5], [0.5], [0.5], [0.2]])
    for hit in range(3):
        targets = torch.zeros(4, 1)
        targets[hit] = 1
        assert average_precision(scores, targets).tolist() == pytest.approx([1 / 3])
    assert average_precision(torch.zeros(10, 1), (torch.arange(10) < 3).float()[:, None]).tolist() == pytest.approx(
        [0.3]
    )


def test_large_scores_keep_their_order() -> None:
    # A sigmoid in float32 would make these equal.
    scores = torch.tensor([[40.0], [30.0], [20.0]])
    assert average_precision(scores, torch.tensor([[0.0], [1.0], [0.0]])).tolist() == [0.5]
