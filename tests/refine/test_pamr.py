"""Pixel-adaptive refinement against its formula, and what every such averaging keeps."""

from __future__ import annotations

import pytest
import torch

from advcam.errors import DataError, SettingsError
from advcam.refine.pamr import pamr
from advcam.refine.settings import PAMRSettings


def by_the_formula(image: torch.Tensor, scores: torch.Tensor, settings: PAMRSettings) -> torch.Tensor:
    """Pixel by pixel."""
    x = image.permute(2, 0, 1).double() / 255
    _, height, width = x.shape
    offsets = [
        (dy * d, dx * d) for d in settings.dilations for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)
    ]
    for _ in range(settings.iterations):
        after = torch.empty_like(scores)
        for row in range(height):
            for column in range(width):
                near = [(min(max(row + dy, 0), height - 1), min(max(column + dx, 0), width - 1)) for dy, dx in offsets]
                own = x[:, row, column]
                colours = torch.stack([x[:, r, c] for r, c in near])
                deviation = torch.cat([own[None], colours]).std(dim=0, correction=0)
                weights = (-((colours - own).abs() / (settings.width * deviation + 1e-6)).mean(dim=1)).softmax(dim=0)
                after[:, row, column] = torch.stack([scores[:, r, c] for r, c in near], dim=1) @ weights
        scores = after
    return scores


def test_equals_its_formula():
    torch.manual_seed(0)
    image = torch.randint(0, 256, (7, 9, 3), dtype=torch.uint8)
    scores = torch.rand(2, 7, 9, dtype=torch.float64)
    settings = PAMRSettings(iterations=2, dilations=(1, 3), width=0.4)
    torch.testing.assert_close(
        pamr(image, scores, settings), by_the_formula(image, scores, settings), rtol=0, atol=1e-12
    )


def test_constants_and_range_are_kept_and_maps_do_not_mix():
    torch.manual_seed(0)
    image = torch.randint(0, 256, (20, 30, 3), dtype=torch.uint8)
    scores = torch.cat([torch.full((1, 20, 30), 0.3), torch.rand(2, 20, 30)])
    refined = pamr(image, scores)
    torch.testing.assert_close(refined[0], scores[0])
    assert (refined.amax(dim=(1, 2)) <= scores.amax(dim=(1, 2)) + 1e-5).all()
    torch.testing.assert_close(pamr(image, scores[1:2])[0], refined[1])


def test_scores_fill_an_object_of_one_colour_and_stop_at_its_edge():
    image = torch.zeros(24, 24, 3, dtype=torch.uint8)
    image[6:18, 6:18] = torch.tensor([200, 120, 40], dtype=torch.uint8)
    inside = image[..., 0] > 0
    scores = torch.zeros(1, 24, 24)
    scores[0, 6:12, 6:18] = 1
    refined = pamr(image, scores, PAMRSettings(iterations=40, dilations=(1, 2, 4)))[0]
    assert refined[inside].min() > 0.3
    assert refined[~inside].max() < 0.02


def test_no_map_and_no_iteration_change_nothing_and_sizes_must_agree():
    image, scores = torch.zeros(4, 5, 3, dtype=torch.uint8), torch.rand(2, 4, 5)
    assert torch.equal(pamr(image, scores, PAMRSettings(iterations=0)), scores)
    assert pamr(image, scores[:0]).shape == (0, 4, 5)
    with pytest.raises(DataError):
        pamr(image, torch.rand(2, 5, 4))
    for wrong in ({"iterations": -1}, {"dilations": ()}, {"width": 0.0}):
        with pytest.raises(SettingsError):
            PAMRSettings(**wrong)
