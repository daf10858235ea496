"""What callers of the library give in place of tensors: it works as the tensor would, or is refused in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import advcam
import advcam.evaluate
import advcam.localize
from advcam.errors import UserError
from advcam.refine import CRFSettings, crf_labels, dense_crf, irn, psa, regions
from advcam.refine.seeds import seed_labels
from advcam.segment.inference import Segmenter

RANDOM = np.random.default_rng(0)
PICTURE = RANDOM.integers(0, 256, (24, 32, 3), dtype=np.uint8)
MAPS = RANDOM.random((2, 24, 32), np.float32)
LABELS = (MAPS[0] > 0.5).astype(np.int64)
EDGE = RANDOM.random((24, 32), np.float32)
IMAGES = RANDOM.standard_normal((2, 3, 24, 32), np.float32)
BOX = [[(1, 1, 20, 20)]]


@pytest.fixture(scope="module")
def mapper() -> advcam.ClassMapper:
    torch.manual_seed(0)
    return advcam.ClassMapper(nn.Conv2d(3, 8, 3, stride=4, padding=1), torch.randn(5, 8))


def backwards(values: np.ndarray) -> np.ndarray:
    """The same values with strides that torch does not know."""
    return values[::-1].copy()[::-1]


CALLS: dict[str, Any] = {
    "dense_crf": lambda picture, maps, labels: dense_crf(picture, maps, CRFSettings.irn()),
    "crf_labels": lambda picture, maps, labels: crf_labels(picture, labels, 2, CRFSettings.irn()),
    "seed_labels": lambda picture, maps, labels: seed_labels(maps, [0, 3], 0.5),
    "regions of a mask": lambda picture, maps, labels: regions(labels, labels + 1),
    "regions of maps": lambda picture, maps, labels: regions(maps, labels + 1),
    "irn": lambda picture, maps, labels: irn.propagate(maps, maps[0], radius=2, exp_times=2),
    "psa": lambda picture, maps, labels: psa.propagate(maps, psa.affinities(maps), log_times=2),
    "segmentation": lambda picture, maps, labels: advcam.evaluate.segmentation([labels], [labels], 2).iou,
    "max_box_acc": lambda picture, maps, labels: advcam.evaluate.max_box_acc([maps[0]], BOX, [(32, 24)]).mean,
    "boxes": lambda picture, maps, labels: advcam.localize.boxes(maps[0], 128),
}


@pytest.mark.parametrize("name", CALLS)
def test_arrays_are_taken_as_tensors_are(name: str) -> None:
    given = PICTURE, MAPS, LABELS
    expected = CALLS[name](*map(torch.from_numpy, given))
    for found in (CALLS[name](*given), CALLS[name](*map(backwards, given))):
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("wrong", ["a.jpg", None, Image.fromarray(PICTURE)])
def test_what_is_no_picture_for_the_crf(wrong: Any) -> None:
    with pytest.raises(UserError):
        dense_crf(wrong, torch.from_numpy(MAPS), CRFSettings.irn())


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_a_climb_needs_no_gradients_around_it(mapper: advcam.ClassMapper, around: Any) -> None:
    settings, images = advcam.ClimbSettings(steps=2), torch.from_numpy(IMAGES)
    expected = advcam.climb(mapper, images, [0, 1], settings)
    with around():
        assert torch.equal(advcam.climb(mapper, images, [0, 1], settings), expected)


@pytest.mark.parametrize("face", ["cam", "climb"])
class TestMaps:
    @pytest.fixture
    def call(self, mapper: advcam.ClassMapper, face: str) -> Any:
        if face == "cam":
            return lambda images, classes: advcam.cam(mapper, images, classes)
        return lambda images, classes: advcam.climb(mapper, images, classes, advcam.ClimbSettings(steps=2))

    @pytest.mark.parametrize("classes", [(1, 1), torch.tensor([1, 1], dtype=torch.uint8), np.array([1, 1], np.uint8)])
    def test_classes_of_any_kind(self, call: Any, classes: Any) -> None:
        images = torch.from_numpy(IMAGES)
        assert torch.equal(call(images, classes), call(images, torch.tensor([1, 1])))

    @pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
    def test_numbers_of_another_precision_are_brought_to_the_networks(self, call: Any, kind: torch.dtype) -> None:
        images = torch.from_numpy(IMAGES).to(kind)
        assert torch.equal(call(images, [0, 1]), call(images.float(), [0, 1]))

    def test_arrays(self, call: Any) -> None:
        expected = call(torch.from_numpy(IMAGES), [0, 1])
        assert torch.equal(call(IMAGES, np.array([1, 0])[::-1]), expected)
        assert torch.equal(call(backwards(IMAGES), [0, 1]), expected)

    @pytest.mark.parametrize("classes", ["cat", None, 1, [0], [0, 9], [-1, 0]])
    def test_classes_that_are_none(self, call: Any, classes: Any) -> None:
        with pytest.raises(UserError, match=r"class"):
            call(torch.from_numpy(IMAGES), classes)

    @pytest.mark.parametrize("axes", [(0, 2, 3, 1), (0, 2, 1, 3)])
    def test_channels_elsewhere(self, call: Any, axes: tuple[int, ...]) -> None:
        with pytest.raises(UserError, match="n x 3 x H x W for this network"):
            call(torch.from_numpy(IMAGES).permute(axes), [0, 1])

    def test_images_in_a_list(self, call: Any) -> None:
        with pytest.raises(UserError, match="images must be a tensor or an array of numbers, not list"):
            call([torch.zeros(3, 24, 32)], [0])


def test_a_network_of_one_channel() -> None:
    grey = advcam.ClassMapper(nn.Conv2d(1, 8, 3, stride=4, padding=1), torch.randn(5, 8), mean=(0.5,), std=(0.25,))
    assert advcam.climb(grey, torch.randn(1, 1, 24, 32), [2], advcam.ClimbSettings(steps=2)).shape == (1, 6, 8)
    assert advcam.localization_maps(grey, Image.fromarray(PICTURE), [0, 3], scales=(1.0,)).shape == (2, 24, 32)


@pytest.mark.parametrize("picture", [PICTURE.transpose(2, 0, 1), torch.from_numpy(PICTURE).permute(2, 0, 1)])
def test_pictures_with_the_channels_first(mapper: advcam.ClassMapper, picture: Any) -> None:
    segmenter = Segmenter(nn.Conv2d(3, 3, 8, stride=8), ("a", "b"), (0.5,) * 3, (0.5,) * 3)
    for call in (segmenter, lambda picture: advcam.localization_maps(mapper, picture, [0], scales=(1.0,))):
        with pytest.raises(UserError, match="with the channels last"):
            call(picture)
