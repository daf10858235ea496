"""Box accuracy against the benchmark's program, on cases worked out by hand, and on input that is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from advcam.errors import DataError, SettingsError
from advcam.evaluate.boxes import BoxAccuracy, max_box_acc
from advcam.evaluate.boxes_iou import boxes_on_map, inclusive_iou, level_ious
from advcam.evaluate.settings import BoxAccSettings, ScoreMapSettings
from advcam.localize.levels import quantize
from advcam.localize.normalize import protocol_map

DELTAS = (30, 50, 70)
ZERO_MAP = torch.zeros(14, 14)


@pytest.fixture
def reference(golden):
    """The 40 maps, boxes and image sizes of the reference vectors, and what the benchmark's program finds."""
    vectors = golden("wsol/wsol")
    maps = [torch.from_numpy(vectors[f"map_{index:02d}"]) for index in range(40)]
    boxes = [torch.from_numpy(found) for found in np.split(vectors["gt_boxes"], vectors["gt_offsets"][1:-1])]
    return maps, boxes, torch.from_numpy(vectors["image_sizes_wh"]), vectors


def rectangle(x0: int, y0: int, x1: int, y1: int, value: float = 1.0, size: int = 224) -> torch.Tensor:
    """A score map that is ``value`` on the pixels from x0, y0 up to, not including, x1, y1."""
    score_map = torch.zeros(size, size)
    score_map[y0:y1, x0:x1] = value
    return score_map


def test_equal_to_the_reference(reference) -> None:
    maps, boxes, sizes, expected = reference
    scores = max_box_acc(maps, boxes, sizes)
    for curves, prefix in ((scores.all, "multi"), (scores.largest, "single")):
        for row, delta in enumerate(DELTAS):
            assert curves.accuracy[delta].tolist() == (expected[f"{prefix}_num_correct"][row] * 100.0 / 40).tolist()
            assert curves.best(delta) == expected[f"{prefix}_max_box_acc"][row]
            assert curves.best_thresholds(delta) == (
                expected[f"{prefix}_best_tau_first"][row],
                expected[f"{prefix}_best_tau_last"][row],
            )
        assert curves.best_iou.tolist() == expected[f"{prefix}_best_iou"].tolist()
    assert scores.v2 == dict(zip(DELTAS, expected["multi_max_box_acc"], strict=True))
    assert scores.mean == expected["max_box_acc_v2"]
    assert scores.v1 == expected["max_box_acc_v1"]
    assert scores.gt_known == scores.v2[50] == 45.0
    assert list(scores.thresholds.values()) == expected["multi_best_tau_first"].tolist()
    assert scores.num_images == 40


def test_equal_to_the_reference_with_a_hundred_thresholds(reference) -> None:
    maps, boxes, sizes, expected = reference
    scores = max_box_acc(maps, boxes, sizes, maps=ScoreMapSettings(step=0.01))
    assert list(scores.v2.values()) == expected["multi_max_box_acc_interval0.01"].tolist()
    assert [scores.largest.best(delta) for delta in DELTAS] == expected["single_max_box_acc_interval0.01"].tolist()


def test_intersection_over_union_at_five_thresholds(reference) -> None:
    maps, boxes, sizes, expected = reference
    for index, (score_map, truth, size) in enumerate(zip(maps, boxes, sizes, strict=True)):
        grey = quantize(protocol_map(score_map, 224, 224, "min-max", "map"))
        levels = (expected["five_tau"] * int(grey.max())).astype(int)
        every, largest = level_ious(grey, boxes_on_map(truth, size.flip(0), 224, "image"))
        assert every[levels].tolist() == expected["multi_iou_at5"][index].tolist()
        assert largest[levels].tolist() == expected["single_iou_at5"][index].tolist()


def test_truth_on_the_map_equals_the_reference(reference) -> None:
    _, boxes, sizes, expected = reference
    found = [boxes_on_map(truth, size.flip(0), 224, "image") for truth, size in zip(boxes, sizes, strict=True)]
    assert np.concatenate(found).tolist() == expected["gt_boxes_224"].tolist()


def test_truth_on_the_map() -> None:
    assert boxes_on_map([(60, 27, 385, 331)], (335, 500), 224, "image").tolist() == [[26, 18, 172, 221]]
    assert boxes_on_map(torch.tensor([[45, 49, 499, 162]]), (375, 500), 224, "image").tolist() == [[20, 29, 223, 96]]
    assert boxes_on_map(np.array([[0, 0, 7, 7]]), (7, 7), 224, "image").tolist() == [[0, 0, 224, 224]]


def test_inclusive_iou() -> None:
    a = np.array([[31, 93, 145, 179], [0, 0, 0, 0], [0, 0, 1, 0]])
    b = np.array([[30, 90, 150, 170], [0, 0, 0, 0]])
    # 115 * 78 shared pixels of 115 * 87 + 121 * 81 - 115 * 78
    expected = [[8970 / 10836, 0.0], [0.0, 1.0], [0.0, 0.5]]
    assert inclusive_iou(a, b).tolist() == expected


def test_a_worked_example_at_all_levels() -> None:
    y, x = torch.meshgrid(torch.arange(14.0).double(), torch.arange(14.0).double(), indexing="ij")
    raw = torch.exp(-((x - 5) ** 2 / 8 + (y - 8) ** 2 / 4.5)) - 0.05
    raw += 0.7 * torch.exp(-((x - 10.5) ** 2 + (y - 3) ** 2) / 2.88)
    resized = torch.nn.functional.interpolate(raw[None, None], (224, 224), mode="bicubic")[0, 0]
    grey = quantize((resized - resized.min()) / (resized - resized.min()).max())
    every, largest = level_ious(grey, np.array([[140, 20, 200, 80]]))
    assert (round(every.max(), 6), int(every.argmax())) == (0.707073, 34)
    assert (round(largest.max(), 6), int(largest.argmax())) == (0.103132, 16)
    both = np.array([[30, 90, 150, 170], [140, 20, 200, 80]])
    every, largest = level_ious(grey, both)
    assert (round(every.max(), 6), int(every.argmax())) == (0.84375, 42)
    assert (round(largest.max(), 6), int(largest.argmax())) == (0.84375, 42)
    assert round(every[51], 6) == 0.827796


def test_a_box_is_one_pixel_too_large_as_in_the_benchmark() -> None:
    # Pixels 50-99 give the box 50-100; of a true box 50-99 it covers 50 * 50 / (51 * 51) = 0.961.
    scores = max_box_acc([rectangle(50, 50, 100, 100)], [[(50, 50, 99, 99)]], [(224, 224)], iou=(96, 97))
    assert scores.v2 == {96: 100.0, 97: 0.0}
    assert float(scores.all.best_iou[0]) == 2500 / 2601
    # At the border the last pixel is kept.
    scores = max_box_acc([rectangle(174, 174, 224, 224)], [[(174, 174, 223, 223)]], [(224, 224)], iou=(100,))
    assert scores.v2 == {100: 100.0}


def test_thresholds_are_chosen_for_each_level_by_itself() -> None:
    # Two nested objects: the low one is the truth of the first image, the high one of the second.
    score_map = rectangle(20, 20, 120, 120, 0.5)
    score_map[40:80, 40:80] = 1.0
    truth = [[(20, 20, 119, 119)], [(40, 40, 79, 79)]]
    scores = max_box_acc([score_map, score_map], truth, [(224, 224)] * 2)
    assert scores.v2 == {30: 50.0, 50: 50.0, 70: 50.0}
    assert scores.all.best_thresholds(50) == (0.0, 0.999)
    accuracy = scores.all.accuracy[50]
    # I = 127 below, 255 above: the low one is gone from L = 127 on, that is from tau = 0.499 (0.499 * 255 = 127.2).
    assert scores.all.at(50, 0.2) == 50
    per_image = [max_box_acc([score_map], [boxes], [(224, 224)]).all.accuracy[50] for boxes in truth]
    assert per_image[0].nonzero().flatten().tolist() == list(range(499))
    assert per_image[1].nonzero().flatten().tolist() == list(range(499, 1000))
    assert torch.equal(accuracy, (per_image[0] + per_image[1]) / 2)


def test_all_contours_or_the_largest() -> None:
    score_map = rectangle(10, 10, 100, 100)
    score_map[150:190, 150:190] = 1.0
    scores = max_box_acc([score_map], [[(150, 150, 190, 190)]], [(224, 224)])
    assert scores.gt_known == 100
    assert scores.v1 == 0


def test_the_inside_of_a_hole_counts_over_all_contours() -> None:
    score_map = rectangle(10, 10, 210, 210)
    score_map[100:140, 100:140] = 0.2
    truth = [[(99, 99, 141, 141)]]
    scores = max_box_acc([score_map], truth, [(224, 224)], iou=(100,))
    assert scores.v2[100] == 100
    assert scores.thresholds[100] == 0.2  # I = 51 inside, filled up to L = 50
    assert scores.largest.best(100) == 0


def test_map_and_image_of_different_sizes() -> None:
    bump = torch.zeros(7, 7)
    bump[2:4, 4:6] = 1.0
    truth = (4 / 7 * 640, 2 / 7 * 480, 6 / 7 * 640, 4 / 7 * 480)
    scores = max_box_acc([bump], [[truth]], [(640, 480)])
    assert float(scores.all.best_iou[0]) > 0.9
    swapped = max_box_acc([bump.T], [[truth]], [(640, 480)])
    assert float(swapped.all.best_iou[0]) < 0.4


@pytest.mark.parametrize(
    "score_map",
    [ZERO_MAP, torch.full((13, 17), 0.3), torch.full((14, 14), torch.nan), rectangle(0, 0, 5, 5) * torch.nan],
)
def test_maps_without_information_give_the_box_of_zeros(score_map) -> None:
    scores = max_box_acc([score_map] * 2, [[(100, 100, 150, 150)], [(0, 0, 0, 0)]], [(224, 224)] * 2)
    assert scores.all.best_iou.tolist() == scores.largest.best_iou.tolist() == [0.0, 1.0]
    assert scores.v1 == 50
    assert scores.thresholds == {30: 0.0, 50: 0.0, 70: 0.0}
    assert scores.all.best_thresholds(50) == (0.0, 0.999)


def test_top1() -> None:
    good, truth = rectangle(50, 50, 100, 100), [(50, 50, 99, 99)]
    elsewhere = [(150, 150, 200, 200)]
    scores = max_box_acc(
        [good] * 4, [truth, truth, elsewhere, truth], [(224, 224)] * 4, classified=[True, False, True, True]
    )
    assert scores.top1_cls == 75
    assert scores.gt_known == 75
    assert scores.top1_loc == 50
    assert scores.top1_loc_at(0.25) == 50


def test_top1_says_nothing_where_nothing_is_said_of_classes() -> None:
    scores = max_box_acc([ZERO_MAP], [[(0, 0, 1, 1)]], [(224, 224)])
    assert scores.top1_cls is None
    assert scores.top1_loc is None
    assert scores.top1_loc_at(0.5) is None


def test_v1_is_at_fifty_whatever_the_levels() -> None:
    scores = max_box_acc([rectangle(50, 50, 100, 100)], [[(50, 50, 130, 99)]], [(224, 224)], iou=[80])
    assert scores.v2 == {80: 0.0}
    assert scores.v1 == scores.gt_known == 100


def test_a_threshold_chosen_elsewhere() -> None:
    scores = max_box_acc([rectangle(50, 50, 100, 100)], [[(50, 50, 99, 99)]], [(224, 224)])
    assert scores.all.at(70, 0.3) == 100
    with pytest.raises(SettingsError, match=r"threshold 0\.12345 was not tried; the nearest that was is 0\.123"):
        scores.all.at(70, 0.12345)


def test_other_normalizations() -> None:
    score_map = rectangle(50, 50, 100, 100, 0.5) + 0.5
    truth = [[(50, 50, 99, 99)]]
    # Divided by its maximum the background is I = 127: the object stands alone from L = 127 on.
    scores = max_box_acc([score_map], truth, [(224, 224)], maps=ScoreMapSettings(normalization="max"))
    assert scores.thresholds[50] == 0.499
    assert max_box_acc([score_map], truth, [(224, 224)]).thresholds[50] == 0.0
    with pytest.raises(DataError, match="must be within"):
        max_box_acc([score_map * 2], truth, [(224, 224)], maps=ScoreMapSettings(normalization="none"))


def test_arguments_may_be_generators() -> None:
    maps = (rectangle(50, 50, 100, 100) for _ in range(3))
    scores = max_box_acc(maps, ([(50, 50, 99, 99)] for _ in range(3)), ((224, 224) for _ in range(3)))
    assert scores.num_images == 3
    assert scores.mean == 100


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((10, 10, 510, 50), r"image 0: box 10, 10, 510, 50 is not inside the image of 500 x 375 pixels"),
        ((-1, 10, 50, 50), r"image 0: box -1, 10, 50, 50 is not inside"),
        ((10, 10, 50, 376), r"image 0: box 10, 10, 50, 376 is not inside"),
        ((50, 10, 10, 50), r"image 0: box 50, 10, 10, 50 has swapped corners"),
        ((10, 50, 50, 10), r"image 0: box 10, 50, 50, 10 has swapped corners"),
        ((10, float("nan"), 50, 60), r"image 0: box 10, nan, 50, 60 is not inside"),
    ],
)
def test_wrong_boxes(box, message) -> None:
    with pytest.raises(DataError, match=message):
        max_box_acc([ZERO_MAP], [[(1, 1, 2, 2), box]], [(500, 375)])


def test_other_wrong_input() -> None:
    boxes, sizes = [[(0, 0, 1, 1)]], [(10, 10)]
    with pytest.raises(DataError, match="image 0: needs at least one ground-truth box"):
        max_box_acc([ZERO_MAP], [torch.zeros(0, 4)], sizes)
    with pytest.raises(DataError, match="image 1 has no entry in boxes and image_sizes"):
        max_box_acc([ZERO_MAP] * 2, boxes, sizes)
    with pytest.raises(DataError, match="image 1 has no entry in score_maps and boxes and image_sizes"):
        max_box_acc([ZERO_MAP], boxes, sizes, classified=[True, True])
    with pytest.raises(DataError, match="at least one image"):
        max_box_acc([], [], [])
    with pytest.raises(DataError, match="image 0: a score map must have height and width"):
        max_box_acc([torch.zeros(0, 3)], boxes, sizes)
    with pytest.raises(DataError, match="image 0: the score map has an infinite value"):
        max_box_acc([torch.tensor([[0.0, torch.inf]])], boxes, sizes)
    with pytest.raises(DataError, match="image size must be at least 1 x 1"):
        max_box_acc([ZERO_MAP], boxes, [(0, 10)])
    accuracy = BoxAccuracy()
    accuracy.update(ZERO_MAP, boxes[0], (10, 10), True)
    with pytest.raises(DataError, match=r"b\.jpg: either every image says"):
        accuracy.update(ZERO_MAP, boxes[0], (10, 10), name="b.jpg")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BoxAccSettings(iou=()), "iou is empty"),
        (lambda: BoxAccSettings(iou=(0,)), "iou is"),
        (lambda: ScoreMapSettings(step=0.0), "step is 0"),
        (lambda: ScoreMapSettings(size=0), "size is 0"),
    ],
)
def test_settings_that_make_no_sense(make, message) -> None:
    with pytest.raises(SettingsError, match=message):
        make()
