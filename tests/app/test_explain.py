"""A climb in frames."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

import advcam
from advcam.app.explain import SIDE, Explainer, labels_at, reduced, shown
from advcam.attribute.maps.cam import CAM
from advcam.attribute.settings import adapted
from advcam.errors import ModelError


@pytest.fixture
def explainer() -> Explainer:
    torch.manual_seed(0)
    features = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5, stride=4, padding=2), torch.nn.ReLU())
    return Explainer(advcam.ClassMapper(features, torch.randn(6, 8)), tuple("abcdef"))


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (40, 56, 3)).astype(np.uint8)


def test_the_last_frame_is_the_map_of_a_whole_climb(explainer: Explainer, picture: np.ndarray) -> None:
    frames = list(explainer.grow(picture, [1, 4], steps=3, reg_weight=7.0))
    assert [frame.step for frame in frames] == [0, 1, 2]
    assert frames[0].maps.shape == (2, 40, 56)
    settings = adapted(advcam.ClimbSettings(steps=3), CAM(explainer.mapper).units)
    explain = advcam.AdvCAM(explainer.mapper, settings)
    images = explainer._input(picture).expand(2, -1, -1, -1)
    assert np.abs(frames[-1].maps - explain(images, torch.tensor([1, 4])).numpy()).max() < 1e-6
    # The first one is plain CAM of the image and its mirror image, each with a factor of its own (Grad-CAM's).
    both = [advcam.cam(explainer.mapper, view, torch.tensor([1, 4])) for view in (images, images.flip(3))]
    plain = both[0] + both[1].flip(2)
    full = torch.nn.functional.interpolate(plain[:, None], (40, 56), mode="bilinear")[:, 0]
    assert np.abs(frames[0].maps - (full / full.amax((1, 2), keepdim=True)).numpy()).max() < 0.05


def test_who_stops_listening_stops_the_climb(explainer: Explainer, picture: np.ndarray) -> None:
    for frame in explainer.grow(picture, [0], steps=10_000, reg_weight=0.0):
        if frame.step == 2:
            break
    (working,) = (thread for thread in threading.enumerate() if "work" in thread.name)
    working.join(20)
    assert not working.is_alive()


def test_the_most_likely_class_is_that_of_the_network(explainer: Explainer, picture: np.ndarray) -> None:
    logits = explainer.mapper.class_maps(explainer._input(picture)).mean(dim=(2, 3))[0]
    assert explainer.likely(picture, 2)[0][0] == "abcdef"[int(logits.argmax())]


def test_masks_and_pictures_have_the_size_that_is_shown(explainer: Explainer) -> None:
    small = reduced(np.zeros((1000, 500, 3), np.uint8))
    assert small.shape == (SIDE, SIDE // 2, 3)
    (frame,) = explainer.grow(small, [2], steps=1, reg_weight=7.0)
    assert labels_at(frame, [2], 0.99).max() in (0, 3)
    heat, mask = shown(small, frame, 0, [2], 0.4)
    assert heat.shape == mask.shape == small.shape


def test_a_network_that_torchvision_lacks_is_named() -> None:
    with pytest.raises(ModelError, match="resnet_of_dreams"):
        Explainer.of_library("torchvision/resnet_of_dreams")
