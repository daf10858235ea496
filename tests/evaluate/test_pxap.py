"""PxAP against the benchmark's program and on a case worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from advcam.errors import DataError
from advcam.evaluate.pixels import pxap
from advcam.evaluate.settings import ScoreMapSettings

TENTHS = ScoreMapSettings(step=0.1, size=8)
SCORES = torch.tensor([0.0, 0.1, 0.35, 0.35, 0.8, 1.0, 0.62, 0.05]).repeat(8, 1)
LABELS = torch.tensor([0, 0, 1, 0, 1, 1, 0, 1]).repeat(8, 1)


@pytest.fixture
def reference(golden):
    """Maps, foregrounds and ignored regions of the reference vectors, and what the benchmark's program finds."""
    vectors = golden("wsol/wsol")
    maps = [torch.from_numpy(vectors[f"map_{index:02d}"]) for index in vectors["mask_map_index"]]
    masks = [torch.from_numpy(vectors[f"mask_fg_{index}"]) for index in range(10)]
    ignore = [torch.from_numpy(vectors[f"mask_ignore_{index}"]) for index in range(10)]
    return maps, masks, ignore, vectors


@pytest.mark.parametrize("step", [0.001, 0.01])
def test_equal_to_the_reference(reference, step) -> None:
    maps, masks, ignore, expected = reference
    scores = pxap(maps, masks, ignore, ScoreMapSettings(step=step))
    assert scores.pxap == expected[f"pxap_{step}"]
    assert scores.num_images == 10


def test_curve_equals_the_reference_histograms(reference) -> None:
    maps, masks, ignore, expected = reference
    scores = pxap(maps, masks, ignore, ScoreMapSettings(step=0.01))
    right = expected["pxap_fg_hist_0.01"][::-1].cumsum()[1:]
    wrong = expected["pxap_bg_hist_0.01"][::-1].cumsum()[1:]
    assert scores.threshold.tolist() == [1.0, *np.arange(0, 1, 0.01)[::-1]]
    assert scores.precision.tolist() == (right / (right + wrong)).tolist()
    assert scores.recall.tolist() == (right / right[-1]).tolist()


def test_worked_example() -> None:
    # Falling thresholds with what is found (right of all): 1.0: 1/1, 0.8: 2/2, 0.6: 2/3, 0.3: 3/5, 0.1: 3/6, 0.0: 4/8.
    # PxAP = 1/4 * 1 + 1/4 * 1 + 1/4 * 3/5 + 1/4 * 4/8 = 0.775.
    scores = pxap([SCORES], [LABELS], maps=TENTHS)
    assert scores.pxap == pytest.approx(77.5, abs=1e-12)
    assert scores.recall[[0, 2, 7, 10]].tolist() == [0.25, 0.5, 0.75, 1.0]
    assert scores.precision[[0, 2, 7, 10]].tolist() == [1.0, 1.0, 0.6, 0.5]


def test_ignored_pixels_do_not_count_unless_they_are_foreground() -> None:
    ignore = torch.zeros(8, 8)
    ignore[:, 6] = 255.0
    ignore[:, 7] = 255.0
    # Without the wrong pixel of score 0.62: 1/1, 2/2, 3/4, then 4/7; the last one stays foreground.
    scores = pxap([SCORES], [LABELS], [ignore], TENTHS)
    assert scores.pxap == pytest.approx(100 / 4 * (1 + 1 + 3 / 4 + 4 / 7), abs=1e-12)


@pytest.mark.parametrize("mask", [LABELS.bool(), LABELS.to(torch.uint8) * 255, LABELS.float()])
def test_masks_of_any_type(mask) -> None:
    assert pxap([SCORES], [mask], maps=TENTHS).pxap == pytest.approx(77.5, abs=1e-12)


def test_a_map_without_information_finds_everything_at_once() -> None:
    scores = pxap([torch.zeros(14, 14)], [torch.eye(224)])
    assert scores.pxap == pytest.approx(100 / 224, abs=1e-12)
    assert scores.precision[:-1].isnan().all()


@pytest.mark.parametrize(
    ("masks", "ignore", "message"),
    [
        ([torch.zeros(8, 8)], None, "masks of all 1 images have none"),
        ([torch.zeros(0, 8)], None, "image 0: a mask must have height and width"),
        ([LABELS, LABELS], None, "image 1 has no entry in score_maps"),
        (
            [LABELS],
            [torch.zeros(4, 8)],
            r"image 0: the ignored region must be of the mask's size \(8, 8\), not \(4, 8\)",
        ),
    ],
)
def test_wrong_input(masks, ignore, message) -> None:
    with pytest.raises(DataError, match=message):
        pxap([SCORES], masks, ignore)
