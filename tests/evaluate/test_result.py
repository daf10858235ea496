"""Every figure says on which split, over how many images, at which threshold and where that was chosen."""

from __future__ import annotations

import json

import pytest
import torch

from advcam.errors import SettingsError
from advcam.evaluate import SegmentationResult, SegmentationScores, ThresholdSource, WeightsSource

SCORES = SegmentationScores(torch.tensor([[6, 2, 0], [1, 3, 0], [0, 0, 0]]), image_count=58)


def test_record_is_json_and_complete():
    source = ThresholdSource.sweep("train", 89)
    result = SegmentationResult("cam seed", "val", SCORES, 0.31, source, ("cat", "dog"))
    record = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert record["masks"] == "cam seed"
    assert (record["split"], record["images"], record["threshold"]) == ("val", 58, 0.31)
    assert record["threshold_source"] == "best of a sweep over the ground truth of train (89 images)"
    assert (record["threshold_method"], record["threshold_split"], record["threshold_images"]) == ("sweep", "train", 89)
    assert record["threshold_chosen_on_this_split"] is False
    assert record["miou"] == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert record["iou"] == {"background": pytest.approx(6 / 9), "cat": 0.5, "dog": None}
    assert record["noise"] == pytest.approx(2 / 5)
    assert str(result).startswith("cam seed: mIoU 58.3 on val (58 images), threshold 0.31, best of a sweep")


def test_a_threshold_chosen_on_the_scored_ground_truth_is_marked():
    assert SegmentationResult("seed", "train", SCORES, 0.3, ThresholdSource.sweep("train", 58)).chosen_on_this_split
    for source in (ThresholdSource.fixed(), ThresholdSource.maps("train", 58), ThresholdSource.sweep("val", 9)):
        assert not SegmentationResult("seed", "train", SCORES, 0.3, source).chosen_on_this_split


def test_masks_without_threshold():
    result = SegmentationResult("network", "val", SCORES)
    assert str(result) == "network: mIoU 58.3 on val (58 images)"
    assert result.to_json()["threshold_source"] is None
    assert list(result.to_json()["iou"]) == ["0", "1", "2"]


def test_weights_chosen_on_the_scored_ground_truth_are_marked():
    result = SegmentationResult("cct", "val", SCORES, weights_source=WeightsSource("val", 80))
    assert str(result) == "cct: mIoU 58.3 on val (58 images), weights best of 80 validations on val, chosen there"
    assert result.to_json()["weights_source"] == "best of 80 validations on val"
    assert result.to_json()["weights_chosen_on_this_split"] is True
    for source in (None, WeightsSource("train", 80), WeightsSource("val", 1)):
        other = SegmentationResult("cct", "val", SCORES, weights_source=source)
        assert not other.to_json()["weights_chosen_on_this_split"]
        assert "there" not in str(other)


def test_sources_in_words():
    assert str(ThresholdSource.fixed()) == "fixed beforehand"
    assert str(ThresholdSource.maps("all", 30)) == "chosen from the maps of all (30 images), without ground truth"


def test_half_a_record_is_refused():
    with pytest.raises(SettingsError, match="threshold together with where it was chosen"):
        SegmentationResult("seed", "val", SCORES, 0.3)
    with pytest.raises(SettingsError, match="threshold together with where it was chosen"):
        SegmentationResult("seed", "val", SCORES, threshold_source=ThresholdSource.fixed())
    with pytest.raises(SettingsError, match="1 class names for 3 labels"):
        SegmentationResult("seed", "val", SCORES, class_names=("cat",))
    with pytest.raises(SettingsError, match="must name the split"):
        ThresholdSource("sweep")
