"""Which figures are compared, which come first, and what is said of them."""

from __future__ import annotations

import pytest
import torch

from advcam.evaluate import SegmentationResult, SegmentationScores, ThresholdSource, WeightsSource
from advcam.report.figures import class_rows, ends, groups, headline, read_figures
from advcam.report.hints import Situation, lost_to_threshold, next_steps
from advcam.report.panels import class_chart, classifier_chart, curve_panels, edges
from advcam.report.wording import (
    claim,
    claim_details,
    classifier_notice,
    counted,
    doubts,
    not_measured,
    place,
    points,
    tone,
)

SWEPT = ThresholdSource.sweep("train", 89)
FIXED = ThresholdSource.fixed()


def entry(masks: str, split: str, hits: int, source: ThresholdSource = SWEPT, threshold: float = 0.4) -> dict:
    """A record of metrics.json whose second class has ``hits`` of 100 pixels right, and the background all of 100."""
    confusion = torch.tensor([[100, 0, 0], [100 - hits, hits, 0], [0, 0, 0]])
    scores = SegmentationScores(confusion, 89 if split == "train" else 58)
    return SegmentationResult(masks, split, scores, threshold, source, ("cat", "dog")).to_json()


def curve(masks: str, split: str, best: float = 0.1) -> dict:
    return {
        "masks": masks,
        "split": split,
        "images": 58,
        "thresholds": [0.0, 0.1, 0.2],
        "miou": [0.3, 0.4, None],
        "best_threshold": best,
        "best_miou": 0.4,
        "best_is_at_edge": best in (0.0, 0.2),
    }


@pytest.fixture
def metrics() -> dict:
    both = [
        entry(f"{kind} seed", split, hits) for split in ("train", "val") for kind, hits in (("cam", 40), ("advcam", 60))
    ]
    own = [entry(f"{kind} seed", "val", hits, FIXED, 0.3) for kind, hits in (("cam", 45), ("advcam", 35))]
    masks = [entry("advcam + crf", "val", 80, FIXED, 0.3)]
    return {"results": [*both, *own, *masks], "curves": [curve("cam seed", "val"), curve("advcam seed", "val", 0.2)]}


def test_a_networks_labels_are_not_the_masks_of_the_run(metrics):
    network = SegmentationScores(torch.tensor([[100, 0, 0], [10, 90, 0], [0, 0, 0]]), 58)
    metrics["results"].append(SegmentationResult("deeplab", "val", network, class_names=("cat", "dog")).to_json())
    found = headline(read_figures(metrics))
    assert found is not None
    assert found.mask is not None
    assert found.mask.masks == "advcam + crf"
    assert [group.source for group in groups(read_figures(metrics))][-1] == "no threshold"


def test_a_network_chosen_on_the_images_it_is_scored_on_is_an_upper_bound(metrics):
    chosen = SegmentationScores(torch.tensor([[100, 0, 0], [10, 90, 0], [0, 0, 0]]), 58, set_aside=50)
    source = WeightsSource("val", 80)
    metrics["results"].append(
        SegmentationResult("cct", "val", chosen, class_names=("cat", "dog"), weights_source=source).to_json()
    )
    (group,) = [group for group in groups(read_figures(metrics)) if group.figures[0].method == "cct"]
    assert (group.source, group.upper_bound) == ("best of 80 validations on val", True)
    assert group.figures[0].set_aside == 0.25


def test_a_figure_carries_where_it_comes_from(metrics):
    figure = read_figures(metrics)[3]
    assert (figure.name, figure.split, figure.images, figure.threshold) == ("AdvCAM seed", "val", 58, 0.4)
    assert figure.source == "best of a sweep over the ground truth of train (89 images)"
    assert not figure.upper_bound
    assert read_figures(metrics)[0].upper_bound
    assert [f.style for f in read_figures(metrics)] == ["cam", "advcam"] * 3 + ["mask"]
    assert read_figures(None) == []


def test_only_like_is_compared_with_like(metrics):
    found = groups(read_figures(metrics))
    assert [(group.split, group.upper_bound, len(group.figures)) for group in found] == [
        ("train", True, 2),
        ("val", False, 2),
        ("val", False, 3),
    ]
    fixed = found[2]
    # The IoU of the background changes with that of the class: 100 / (200 - hits).
    gain = 0.5 * (0.35 + 100 / 165) - 0.5 * (0.45 + 100 / 155)
    assert fixed.gain(fixed.figures[1]) == pytest.approx(gain)
    assert fixed.gain(fixed.figures[0]) is None


def test_thresholds_chosen_elsewhere_come_first(metrics):
    found = headline(read_figures(metrics))
    assert (found.seeds.split, found.method.miou, found.mask.masks) == (
        "val",
        pytest.approx(0.65714, abs=1e-5),
        "advcam + crf",
    )
    assert (
        claim(found) == "AdvCAM improves the seeds by 14.5 points: 65.7 mIoU against 51.2 for CAM on val (58 images)."
    )
    assert claim_details(found) == [
        "Each threshold is the best of a sweep over the ground truth of train (89 images).",
        "AdvCAM is ahead in 1 of 1 class.",
        "With thresholds fixed beforehand, it is 47.8 against 54.8 (−7.0).",
        "The masks (AdvCAM + CRF) reach 81.7 mIoU with threshold 0.30, fixed beforehand.",
    ]


def test_masks_are_held_against_masks_and_seeds_against_seeds(metrics):
    metrics["results"].append(entry("cam + crf", "val", 70, FIXED, 0.2))
    found = headline(read_figures(metrics))
    assert [figure.masks for figure in found.shown] == ["cam seed", "advcam seed", "cam + crf", "advcam + crf"]
    assert found.gain_of(found.mask) == pytest.approx(0.5 * (0.8 + 100 / 120) - 0.5 * (0.7 + 100 / 130))
    # What comes out of the run leads, its seeds follow.
    assert claim(found) == "AdvCAM improves the masks by 8.2 points: 81.7 mIoU against 73.5 for CAM on val (58 images)."
    assert claim_details(found)[0] == "The seeds reach 65.7 against 51.2 (+14.5)."
    assert claim_details(found)[-1].endswith("fixed beforehand, against 73.5 for those of CAM (+8.2).")
    assert groups(read_figures(metrics))[-1].gain(found.mask) == found.gain_of(found.mask)


def test_without_another_split_the_own_threshold_comes_before_an_upper_bound():
    figures = read_figures({"results": [entry("cam seed", "train", 40), entry("cam seed", "train", 30, FIXED, 0.3)]})
    found = headline(figures)
    assert (found.seeds.upper_bound, found.method, found.mask) == (False, None, None)
    assert claim(found) == "CAM seeds reach 44.4 mIoU on train (89 images)."
    assert claim_details(found) == ["Threshold 0.30, fixed beforehand."]


def test_upper_bounds_are_called_so():
    found = headline(read_figures({"results": [entry("cam seed", "train", 40), entry("advcam seed", "train", 40)]}))
    assert claim(found).startswith("AdvCAM makes no notable difference to the seeds here: 51.2 mIoU against 51.2")
    assert "upper bounds" in claim_details(found)[0]


def test_a_loss_is_called_a_loss():
    found = headline(read_figures({"results": [entry("cam seed", "val", 50), entry("advcam seed", "val", 40)]}))
    said = (
        "AdvCAM does not help the seeds here: 51.2 mIoU against 58.3 for CAM on val (58 images), a loss of 7.1 points."
    )
    assert claim(found) == said


def test_nothing_measured():
    assert headline([]) is None
    assert not_measured(0)[0] == "Nothing is measured: no image has a ground-truth mask."
    assert "58 images" in not_measured(58)[1]


def test_classes_with_the_largest_gain_come_first():
    first, second = read_figures({"results": [entry("cam seed", "val", 50), entry("advcam seed", "val", 40)]})
    iou = {"background": 0.9, "cat": 0.2, "dog": None, "cow": 0.5, "owl": None}
    other = {"background": 0.8, "cat": 0.1, "dog": 0.3, "cow": 0.9, "owl": None}
    object.__setattr__(first, "iou", iou)
    object.__setattr__(second, "iou", other)
    rows = class_rows([first, second])
    assert [row.name for row in rows] == ["background", "cow", "cat", "dog"]
    assert [row.gain for row in rows] == [pytest.approx(-0.1), pytest.approx(0.4), pytest.approx(-0.1), None]
    kept, left_out = ends(rows, 3)
    assert ([row.name for row in kept], left_out) == (["background", "cow", "dog"], 1)
    assert ends(rows, 4) == (rows, 0)


def test_charts_of_the_page(metrics):
    figures = read_figures(metrics)
    chart = class_chart(headline(figures))
    assert chart.compared == ("AdvCAM seed", "CAM seed")
    assert chart.legend == (("CAM seed", "cam"), ("AdvCAM seed", "advcam"), ("AdvCAM + CRF", "mask"))
    (panel,) = curve_panels(metrics, figures)
    assert panel.place == "val (58 images)"
    assert panel.lines[0] == (
        "CAM seed: best 40.0 at 0.10; 51.2 at 0.40, best of a sweep over the ground truth of train (89 images); "
        "54.8 at 0.30, fixed beforehand"
    )
    assert panel.chart.count('class="dot ') == 4
    assert panel.chart.count('class="ring ') == 2
    assert edges(metrics) == ["AdvCAM seed on val"]
    assert curve_panels(None, []) == []


def test_a_thousand_classes_are_drawn_as_the_two_ends():
    names = [f"class {index}" for index in range(1000)]
    result = {"per_class_ap": {name: index / 1000 for index, name in enumerate(names)}, "prevalence": {names[0]: 0.25}}
    chart = classifier_chart(result | {"level": "weak", "sentence": "s", "val_map": 0.5, "untrained": []})
    assert [name for name, _, _ in chart.drawn] == names[:40]
    assert chart.left_out == 960
    assert "guessing: 25.0" in chart.drawn[0][2]
    assert classifier_chart(None) is None


def test_doubts():
    assert classifier_notice("good", "It is good.") is None
    assert classifier_notice("unfit", "It is not.").level == "warning"
    assert classifier_notice("unknown", "Who knows.").level == "note"
    few = headline(read_figures({"results": [entry("cam seed", "val", 50)]}))
    assert [notice.title for notice in doubts(few, ["AdvCAM seed on val"], 5)] == [
        "A dry run",
        "The sweep is too narrow",
    ]


def test_words():
    assert (points(0.021), points(-0.3), points(-0.0004), points(None)) == ("+2.1", "−30.0", "±0.0", "")
    assert (tone(0.021), tone(-0.3), tone(0.0), tone(None)) == ("up", "down", "", "")
    assert (counted(1, "class"), counted(1000, "class"), counted(2, "mask")) == ("1 class", "1,000 classes", "2 masks")
    assert place("all", 1) == "all images (1)"


def situation(**changes) -> Situation:
    usual = {"out": "runs/a", "method": "advcam", "masks": 58, "flagged": 0, "classifier_level": "good", "epochs": 5}
    usual |= {"ground_truth": 58, "limit": None, "figures": [], "headline": None, "edges": False}
    return Situation(**usual | changes)


def test_next_steps_follow_the_situation(metrics):
    assert [hint.command for hint in next_steps(situation())] == [
        "advcam review --out runs/a && advcam report --out runs/a",
        "advcam export --out runs/a --format labelstudio",
    ]
    raw = situation(masks=0, ground_truth=0, method="cam", classifier_level="weak", limit=3)
    assert [hint.command for hint in next_steps(raw)] == [
        "--classify.epochs 10",
        "--limit 3",
        "--attribute.method advcam",
        "advcam refine --out runs/a",
        "advcam evaluate --out runs/a",
    ]
    assert "1 flagged image:" in next_steps(situation(flagged=1))[0].text
    upper = [entry("advcam seed", "train", 60, threshold=0.5), entry("advcam seed", "train", 30, FIXED, 0.3)]
    figures = read_figures({"results": upper})
    own, best = lost_to_threshold(figures)
    assert (own.threshold, best.threshold) == (0.3, 0.5)
    assert lost_to_threshold(read_figures(metrics)) is None
    assert "--seed.threshold swept" in [hint.command for hint in next_steps(situation(figures=figures))]
