"""The one-pass sweep against the reference's, and against one arg max per threshold."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from advcam.errors import DataError, SettingsError
from advcam.evaluate import SweepCounts, SweepSettings, segmentation, sweep
from advcam.refine.seeds import seed_labels


def random_images(
    count: int, dtype: torch.dtype = torch.float32
) -> list[tuple[torch.Tensor, torch.Tensor, np.ndarray]]:
    rng = np.random.default_rng(7)
    images = []
    for index in range(count):
        k, size = index % 4, (9 + index, 11)
        # Two decimals, so that many values are exactly a threshold, and many maps are equal at a pixel.
        maps = torch.from_numpy(rng.integers(0, 101, (k, *size)) / 100).to(dtype)
        classes = torch.from_numpy(np.sort(rng.choice(5, k, replace=False)))
        target = rng.choice([0, 1, 2, 3, 4, 5, 255], size).astype(np.uint8)
        images.append((maps, classes, target))
    return images


def test_equals_the_reference_sweep(golden):
    arrays = golden("miou/seed_sweep")
    images = (
        (torch.from_numpy(arrays[f"cams_{i}"]), torch.from_numpy(arrays[f"keys_{i}"]), arrays[f"gt_{i}"])
        for i in range(3)
    )
    result = sweep(images, 21, arrays["thresholds"].tolist())
    np.testing.assert_allclose(result.miou, arrays["miou"], rtol=1e-14)
    np.testing.assert_array_equal([scores.noise for scores in result.scores], arrays["noise_ratio"])
    assert result.best_threshold == float(arrays["best_threshold"]) == 0.18
    assert result.best.miou == pytest.approx(float(arrays["best_miou"]), rel=1e-14)
    assert result.image_count == 3
    assert not result.best_is_at_edge


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_every_threshold_equals_its_own_seeds(dtype):
    images = random_images(6, dtype)
    thresholds = (0.0, 0.1, 0.3, 0.31, 0.5, 0.7, 0.99)
    result = sweep(images, 6, thresholds)
    for index, threshold in enumerate(thresholds):
        seeds = [seed_labels(maps, classes, threshold) for maps, classes, _ in images]
        want = segmentation(seeds, [target for *_, target in images], 6)
        assert result.confusions[index].equal(want.confusion), threshold
        assert result.at(threshold).miou == want.miou
        assert result.scores[index].precision == want.precision
        assert result.scores[index].recall == want.recall


def test_first_of_equal_maxima_is_best():
    maps = torch.tensor([[[0.1, 0.5, 0.9]]])
    result = sweep([(maps, torch.tensor([0]), np.array([[0, 1, 1]]))], 2, (0.05, 0.2, 0.3, 0.6))
    assert result.miou.tolist() == pytest.approx([1 / 3, 1.0, 1.0, 0.5])
    assert result.best_threshold == 0.2
    assert result.best_index == 1
    assert sweep([(maps, torch.tensor([0]), np.array([[0, 0, 1]]))], 2, (0.05, 0.2)).best_is_at_edge


def test_default_thresholds_begin_as_those_of_seam_and_go_further():
    thresholds = SweepSettings().thresholds
    assert len(thresholds) == 80
    assert (thresholds[0], thresholds[29], thresholds[-1]) == (0.0, 0.29, 0.79)
    assert SweepCounts(21).thresholds == thresholds
    released = SweepSettings(low=0.15, high=0.34).thresholds
    assert released == tuple(float(f"0.{n}") for n in range(15, 35))
    for wrong in ({"step": 0.0}, {"low": 0.5, "high": 0.4}):
        with pytest.raises(SettingsError, match="low <= high"):
            SweepSettings(**wrong)


def test_what_cannot_be_swept_is_named():
    maps, target = torch.rand(1, 2, 3), np.zeros((2, 3), np.uint8)
    with pytest.raises(DataError, match="no image to sweep"):
        sweep([], 2)
    with pytest.raises(DataError, match=r"image 0: the maps have size \(2, 3\) and the target \(3, 2\)"):
        sweep([(maps, torch.tensor([0]), target.T)], 2)
    with pytest.raises(DataError, match="the maps hold NaN"):
        sweep([(maps * torch.nan, torch.tensor([0]), target)], 2)
    with pytest.raises(DataError, match=r"image 0: its classes are \[1\], but with num_classes=2"):
        sweep([(maps, torch.tensor([1]), target)], 2)
    with pytest.raises(DataError, match="the target of image 0 holds the value 2"):
        sweep([(maps, torch.tensor([0]), target + 2)], 2)
    for wrong in ((), (0.2, 0.2), (0.3, 0.2)):
        with pytest.raises(SettingsError, match="ascending"):
            SweepCounts(2, wrong)
    with pytest.raises(SettingsError, match=r"did not try the threshold 0\.123"):
        sweep([(maps, torch.tensor([0]), target)], 2).at(0.123)


def test_curves_are_json():
    maps = torch.tensor([[[0.1, 0.5, 0.9]]])
    result = sweep([(maps, torch.tensor([0]), np.array([[0, 1, 1]]))], 2, (0.2, 0.6, 0.95))
    record = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert record["thresholds"] == [0.2, 0.6, 0.95]
    assert record["miou"] == pytest.approx([1.0, 0.5, 1 / 6])
    assert record["noise"] == [0.0, 0.0, None]
    assert (record["images"], record["best_threshold"], record["best_is_at_edge"]) == (1, 0.2, True)
