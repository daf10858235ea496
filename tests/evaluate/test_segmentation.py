"""Confusion, IoU and the other figures: by hand, against a plain pixel loop, and against the reference programs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import advcam
from advcam.errors import DataError, SettingsError
from advcam.evaluate import ConfusionMatrix, SegmentationScores, segmentation
from advcam.evaluate.result import SegmentationResult
from advcam.evaluate.scores import harmonic_mean

# Ground truth of 3 classes: (0, 0, 1) and (2, ignored, 1); one pixel of class 1 is taken for 2, one of 0 for 1.
TARGET = np.array([[0, 0, 1], [2, 255, 1]], dtype=np.uint8)
PREDICTION = np.array([[0, 1, 1], [2, 2, 2]], dtype=np.uint8)


def reference_images(arrays: dict[str, np.ndarray], name: str) -> list[np.ndarray]:
    return [arrays[f"{name}_{index}"] for index in range(int(arrays["image_count"]))]


def test_figures_by_hand():
    scores = segmentation([PREDICTION], [TARGET], num_classes=3)
    assert scores.confusion.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert scores.iou.tolist() == pytest.approx([1 / 2, 1 / 3, 1 / 2])
    assert scores.class_precision.tolist() == pytest.approx([1, 1 / 2, 1 / 2])
    assert scores.class_recall.tolist() == pytest.approx([1 / 2, 1 / 2, 1])
    assert scores.class_f1.tolist() == pytest.approx([2 / 3, 1 / 2, 2 / 3])
    assert scores.miou == pytest.approx(4 / 9)
    assert scores.precision == pytest.approx(2 / 3)
    assert scores.recall == pytest.approx(2 / 3)
    assert scores.f1 == pytest.approx(2 / 3)
    assert scores.noise == pytest.approx(1 / 4)
    assert scores.pixel_accuracy == pytest.approx(3 / 5)
    assert scores.fw_iou == pytest.approx((2 * 1 / 2 + 2 * 1 / 3 + 1 / 2) / 5)
    assert scores.image_count == 1
    assert str(scores) == "mIoU 44.4, precision 66.7, recall 66.7, F1 66.7, noise 25.0 % on 1 images"


def test_equals_the_reference_programs(golden):
    arrays = golden("miou/miou")
    predictions, targets = reference_images(arrays, "pred"), reference_images(arrays, "gt")
    scores = segmentation(predictions, targets, 21)
    np.testing.assert_array_equal(scores.confusion, arrays["confusion"])
    np.testing.assert_array_equal(scores.iou, arrays["iou"])
    np.testing.assert_array_equal(scores.class_precision, arrays["precision"])
    np.testing.assert_array_equal(scores.class_recall, arrays["recall"])
    for ours, theirs in (
        ("miou", "miou_nanmean"),
        ("miou_gt_present", "miou_gt_present"),
        ("pixel_accuracy", "pixel_acc"),
        ("recall", "mean_acc"),
        ("fw_iou", "fw_iou"),
        ("noise", "noise_ratio"),
    ):
        assert getattr(scores, ours) == pytest.approx(float(arrays[theirs]), rel=1e-14), ours
    assert scores.image_count == 10


def test_ignored_predictions_count_as_background_like_the_reference(golden):
    arrays = golden("miou/miou")
    predictions, targets = reference_images(arrays, "pred255"), reference_images(arrays, "gt")
    scores = segmentation(predictions, targets, 21)
    np.testing.assert_array_equal(scores.confusion, arrays["confusion_255to0"])
    assert scores.miou == pytest.approx(float(arrays["miou_255to0"]), rel=1e-14)
    with pytest.raises(DataError, match="the prediction of image 0 holds the value 255"):
        segmentation(predictions, targets, 21, prediction_ignore="error")


def test_ignored_predictions_are_told():
    prediction, target = np.array([[0, 255, 255], [1, 255, 1]]), np.array([[0, 0, 1], [1, 255, 1]])
    scores = segmentation([prediction], [target], 2)
    # Of the five pixels that count, two are 255 in the prediction: as background one is right and one wrong.
    assert scores.confusion.tolist() == [[2, 0], [1, 2]]
    assert (scores.set_aside, scores.set_aside_part) == (2, 0.4)
    line = str(SegmentationResult("mask", "val", scores))
    assert line.endswith("on val (1 images); 40.0 % of the pixels are 255 and count as background")
    assert SegmentationResult("mask", "val", scores).to_json()["set_aside"] == 0.4
    assert segmentation([target], [target], 2).set_aside == 0


def test_random_maps_equal_a_loop_over_pixels():
    rng = np.random.default_rng(3)
    targets = [rng.choice([0, 1, 2, 3, 255], size=(5 + i, 7)).astype(np.uint8) for i in range(4)]
    predictions = [rng.integers(0, 4, size=target.shape) for target in targets]
    counted = np.zeros((4, 4), dtype=np.int64)
    for prediction, target in zip(predictions, targets, strict=True):
        for p, t in zip(prediction.ravel(), target.ravel(), strict=True):
            if t != 255:
                counted[t, p] += 1
    scores = segmentation(predictions, targets, 4)
    np.testing.assert_array_equal(scores.confusion, counted)


def test_lists_generators_tensors_and_stacks_agree():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 5, size=(3, 6, 8)).astype(np.uint8)
    predictions = rng.integers(0, 5, size=(3, 6, 8)).astype(np.int64)
    want = segmentation(list(predictions), list(targets), 5).confusion
    stacked = segmentation(torch.from_numpy(predictions), torch.from_numpy(targets), 5)
    assert stacked.confusion.equal(want)
    assert stacked.image_count == 3
    assert segmentation((p for p in predictions), (torch.from_numpy(t) for t in targets), 5).confusion.equal(want)
    assert advcam.evaluate.segmentation(predictions.astype(np.int16), targets, 5).confusion.equal(want)


def test_classes_without_pixels():
    never_and_only_predicted = torch.tensor([[4, 0, 1], [0, 0, 0], [0, 0, 0]])
    scores = SegmentationScores(never_and_only_predicted, 1)
    assert [round(v, 3) for v in scores.iou[[0, 2]].tolist()] == [0.8, 0.0]
    assert math.isnan(scores.iou[1])
    assert scores.miou == pytest.approx(0.4)
    assert scores.miou_gt_present == pytest.approx(0.8)
    assert scores.precision == pytest.approx(0.5)
    assert scores.recall == pytest.approx(0.8)
    assert scores.noise == 1.0


def test_nothing_predicted_has_no_noise_figure():
    scores = SegmentationScores(torch.tensor([[4, 0], [2, 0]]), 1)
    assert math.isnan(scores.noise)
    assert scores.precision == pytest.approx(4 / 6)
    assert scores.recall == pytest.approx(0.5)
    assert scores.class_means([1]).f1 == 0.0


def test_all_pixels_ignored():
    scores = segmentation([np.zeros((2, 2), np.uint8)], [np.full((2, 2), 255, np.uint8)], 2)
    assert scores.confusion.sum() == 0
    assert math.isnan(scores.miou)
    assert math.isnan(scores.fw_iou)
    assert scores.image_count == 1


# Precision, recall and F1 as the paper prints them, in percent.
TABLES_9_AND_11 = [
    (66.0, 66.4, 66.2),
    (61.0, 77.2, 68.1),
    (66.8, 76.8, 71.5),
    (66.9, 77.6, 71.9),
    (71.8, 78.2, 74.9),
    (64.4, 78.2, 70.6),
]
TABLE_13 = [(44.5, 61.6, 47.6), (46.7, 63.8, 50.6), (47.1, 64.7, 51.3), (48.1, 63.6, 51.6), (11.5, 73.0, 19.2)]


@pytest.mark.parametrize("row", TABLES_9_AND_11)
def test_rule_of_table_9_fits_the_printed_rows(row):
    precision, recall, f1 = row
    assert harmonic_mean(precision, recall) == pytest.approx(f1, abs=0.1)


@pytest.mark.parametrize("row", TABLE_13)
def test_rule_of_table_9_cannot_be_that_of_table_13(row):
    precision, recall, f1 = row
    assert harmonic_mean(precision, recall) > f1 + 0.5


def test_mean_of_f1_is_never_above_f1_of_means():
    confusion = torch.from_numpy(np.random.default_rng(1).integers(0, 50, size=(6, 6)))
    scores = SegmentationScores(confusion, 1)
    means = scores.class_means()
    assert means.precision == pytest.approx(scores.precision)
    assert means.recall == pytest.approx(scores.recall)
    assert means.f1 == pytest.approx(float(scores.class_f1.mean()))
    assert means.f1 < scores.f1
    group = scores.class_means([2, 4])
    assert group.recall == pytest.approx(float(scores.class_recall[[2, 4]].mean()))


def test_group_of_classes_must_be_classes():
    scores = SegmentationScores(torch.eye(3, dtype=torch.int64), 1)
    for wrong in ([3], [-1], []):
        with pytest.raises(SettingsError, match=r"ids in 0\.\.2"):
            scores.class_means(wrong)


def test_scores_do_not_change_with_later_updates():
    matrix = ConfusionMatrix(3)
    matrix.update(PREDICTION, TARGET)
    scores = matrix.compute()
    matrix.update(PREDICTION, TARGET)
    assert scores.confusion.sum() == 5
    assert matrix.counts.sum() == 10


def test_what_cannot_be_scored_is_named():
    with pytest.raises(DataError, match="no image to evaluate"):
        segmentation([], [], 3)
    with pytest.raises(DataError, match="only 1 targets for more predictions"):
        segmentation([PREDICTION, PREDICTION], [TARGET], 3)
    with pytest.raises(DataError, match="only 0 predictions for more targets"):
        segmentation([], [TARGET], 3)
    with pytest.raises(DataError, match=r"image 1: the prediction has shape \(3, 2\) and the target \(2, 3\)"):
        segmentation([PREDICTION, PREDICTION.T], [TARGET, TARGET], 3)
    with pytest.raises(DataError, match=r"\(3,\)"):
        segmentation(PREDICTION, TARGET, 3)
    with pytest.raises(DataError, match=r"the target of image 0 holds the value 2, but labels are 0\.\.1"):
        segmentation([np.zeros_like(TARGET)], [TARGET], 2)
    with pytest.raises(DataError, match="the prediction of image 0 holds the value -1"):
        segmentation([np.full((2, 3), -1)], [TARGET], 3)
    with pytest.raises(SettingsError, match="num_classes must be at least 1"):
        segmentation([PREDICTION], [TARGET], 0)
    for index in (0, 2):
        with pytest.raises(SettingsError, match="ignore_index must not be a class"):
            segmentation([PREDICTION], [TARGET], 3, ignore_index=index)
    # An ignored pixel is no label out of range, not even where there is one class only.
    assert segmentation([np.array([[0, 0]])], [np.array([[255, 0]])], 1).miou == 1.0


def test_ignored_targets_hide_any_prediction():
    scores = segmentation([np.array([[250, 1]])], [np.array([[255, 1]])], 2, prediction_ignore="error")
    assert scores.confusion.tolist() == [[0, 0], [0, 1]]
    other = segmentation([np.array([[1, 1]])], [np.array([[-1, 1]])], 2, ignore_index=-1)
    assert other.confusion.tolist() == [[0, 0], [0, 1]]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_maps_on_the_gpu_are_counted_there():
    scores = segmentation([torch.from_numpy(PREDICTION).cuda()], [torch.from_numpy(TARGET)], 3)
    assert scores.confusion.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 1]]
