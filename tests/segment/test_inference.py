"""Whole pictures: scales, mirror images, batches, the CRF."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from advcam.errors import SettingsError
from advcam.refine.crf import dense_crf
from advcam.refine.settings import CRFSettings
from advcam.refine.unary import unary_from_scores
from advcam.segment.inference import Segmenter, by_crf, class_logits
from advcam.segment.settings import InferenceSettings


def segmenter() -> Segmenter:
    network = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))
    return Segmenter(network.eval(), ("cat", "dog"), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def picture(height: int = 41, width: int = 57, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_logits_are_the_mean_over_scales_and_mirror_images() -> None:
    network = segmenter().network
    images = torch.randn(2, 3, 40, 56)
    parts = []
    for size in ((20, 28), (40, 56), (60, 84)):
        scaled = nn.functional.interpolate(images, size, mode="bilinear", align_corners=False)
        for mirrored in (False, True):
            logits = network(scaled.flip(3) if mirrored else scaled)
            logits = nn.functional.interpolate(logits, (40, 56), mode="bilinear", align_corners=False)
            parts.append(logits.flip(3) if mirrored else logits)
    found = class_logits(network, images, (0.5, 1.0, 1.5), flip=True)
    torch.testing.assert_close(found, torch.stack(parts).mean(dim=0))


def test_labels_of_a_batch_are_those_of_each_picture() -> None:
    made = segmenter()
    pictures = [picture(seed=seed) for seed in range(3)]
    for labels, image in zip(made.labels(pictures), pictures, strict=True):
        np.testing.assert_array_equal(labels, made(image))
    assert made(pictures[0]).dtype == np.uint8


def test_large_pictures_are_reduced_and_their_labels_enlarged() -> None:
    labels = segmenter()(picture(90, 120), InferenceSettings(max_side=60))
    assert labels.shape == (90, 120)
    np.testing.assert_array_equal(labels[::2], labels[1::2])


def test_windows_label_a_large_picture_as_it_is() -> None:
    made, image = segmenter(), picture(160, 240)
    labels = made(image, InferenceSettings(window=64))
    assert labels.shape == (160, 240)
    # A network that sees few pixels says the same in every window that begins on its grid, but for the windows' rims.
    assert np.mean(labels == made(image)) > 0.95
    assert made(picture(60, 48), InferenceSettings(window=64, crf=True)).shape == (60, 48)


def test_the_crf_leaves_out_only_labels_that_cannot_win() -> None:
    image = picture(24, 32)
    probabilities = torch.zeros(4, 24, 32)
    probabilities[0], probabilities[2, :, 16:] = 1.0, 3.0
    probabilities = (probabilities + 1e-7 * torch.rand(4, 24, 32)) / 4
    probabilities[:, 3, 4:9] = probabilities[[2, 1, 0, 3], 3, 4:9]
    probabilities /= probabilities.sum(0)
    all_labels = dense_crf(image, unary_from_scores(probabilities), CRFSettings.deeplab()).argmax(0)
    np.testing.assert_array_equal(by_crf(image, probabilities).argmax(0).numpy(), all_labels.numpy())


def test_a_picture_of_one_label_needs_no_crf() -> None:
    certain = torch.zeros(3, 8, 8)
    certain[1] = 1
    assert (by_crf(picture(8, 8), certain).argmax(0) == 1).all()


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(SettingsError, match="scales"):
        InferenceSettings(scales=())
    with pytest.raises(SettingsError, match="max_side"):
        InferenceSettings(max_side=4)
