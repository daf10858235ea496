"""What each stage adds, in the report."""

from __future__ import annotations

import pytest
import torch

from advcam.evaluate import SegmentationResult, SegmentationScores, ThresholdSource
from advcam.report.figures import groups, read_figures
from advcam.report.gains import chains
from advcam.report.page import Page, render


def figure(masks: str, split: str, hits: int, source: ThresholdSource) -> dict:
    """A record of metrics.json; of two classes with 100 pixels each the second has so many right."""
    confusion = torch.tensor([[100, 0], [100 - hits, hits]])
    return SegmentationResult(masks, split, SegmentationScores(confusion, 58), 0.4, source, ("cat",)).to_json()


SWEPT, FIXED = ThresholdSource.sweep("train", 89), ThresholdSource.fixed()
FIGURES = read_figures(
    {
        "results": [
            *(figure("cam seed", "val", hits, source) for hits, source in ((40, SWEPT), (20, FIXED))),
            *(figure("advcam seed", "val", hits, source) for hits, source in ((50, SWEPT), (30, FIXED))),
            figure("advcam + crf", "val", 70, FIXED),
            figure("advcam + irn", "val", 60, SWEPT),
        ]
    }
)


@pytest.fixture
def found():
    return chains(FIGURES)


def test_each_stage_against_the_one_before(found):
    (chain,) = found
    assert (chain.method, chain.split, chain.images) == ("AdvCAM", "val", 58)
    assert [step.name for step in chain.steps] == ["seed", "+ CRF", "+ IRN"]
    # The seed that the CRF started from, not the better one at another threshold.
    assert chain.steps[0].miou == pytest.approx((100 / 170 + 0.3) / 2)
    assert chain.steps[0].gain is None
    assert chain.steps[1].gain == pytest.approx((100 / 130 + 0.7 - 100 / 170 - 0.3) / 2)
    assert chain.steps[2].gain is not None
    assert chain.steps[2].gain < 0
    assert chain.steps[2].text.startswith("threshold 0.40, best of a sweep over the ground truth of train")


def test_on_the_page(found):
    html = render(Page("t", "s", "m", "c", groups=groups(FIGURES), chains=found))
    assert html.count("What each stage adds") == 1
    assert "+ IRN <b>" in html
    assert "What each stage adds" not in render(Page("t", "s", "m", "c", groups=groups(FIGURES)))
    assert chains([]) == []
