"""IRN's augmentation: sizes, order, and the same view from the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from advcam.classify import ClassifySettings
from advcam.classify.augment import augment

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def by_the_book(image: np.ndarray, settings: ClassifySettings, generator: np.random.Generator) -> torch.Tensor:
    """The five operations one after the other on the whole image, without any short cut."""
    low, high = settings.long_side
    scale = int(generator.integers(low, high + 1)) / max(image.shape[:2])
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    values = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)).astype(np.float64)
    values = (values / 255 - np.asarray(MEAN)) / np.asarray(STD)
    if settings.flip and generator.random() < 0.5:
        values = values[:, ::-1]
    crop = np.zeros((settings.crop, settings.crop, 3))
    places = []
    for length in values.shape[:2]:
        start = int(generator.integers(abs(length - settings.crop) + 1))
        kept = min(length, settings.crop)
        places.append((start, 0, kept) if length >= settings.crop else (0, start, kept))
    (y, top, height), (x, left, width) = places
    crop[top : top + height, left : left + width] = values[y : y + height, x : x + width]
    return torch.from_numpy(crop.transpose(2, 0, 1).astype(np.float32))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [(37, 50), (50, 37), (90, 12)])
def test_equals_the_operations_in_order(seed: int, size: tuple[int, int]) -> None:
    settings = ClassifySettings(long_side=(30, 70), crop=40)
    view = augment(picture(*size), MEAN, STD, settings, np.random.default_rng(seed))
    assert view.shape == (3, 40, 40)
    assert view.dtype == torch.float32
    torch.testing.assert_close(
        view, by_the_book(picture(*size), settings, np.random.default_rng(seed)), rtol=0, atol=1e-6
    )


def test_seed_decides() -> None:
    settings = ClassifySettings(long_side=(30, 70), crop=40)
    views = [augment(picture(37, 50), MEAN, STD, settings, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])


def test_border_is_the_mean_colour() -> None:
    settings = ClassifySettings(long_side=(20, 20), crop=40)
    white = np.full((20, 20, 3), 255, np.uint8)
    view = augment(white, MEAN, STD, settings, np.random.default_rng(0))
    assert int((view != 0).sum()) == 3 * 20 * 20


def test_both_ends_of_the_range_occur_and_about_half_is_mirrored() -> None:
    settings = ClassifySettings(long_side=(8, 9), crop=9)
    ramp = np.broadcast_to(np.linspace(0, 255, 9).astype(np.uint8)[None, :, None], (9, 9, 3)).copy()
    views = [augment(ramp, (0.0,) * 3, (1.0,) * 3, settings, np.random.default_rng(seed)) for seed in range(200)]
    mirrored = sum(bool(view[0, 4, :3].sum() > view[0, 4, -3:].sum()) for view in views)
    whole = sum(bool((view.sum(dim=0).sum(dim=1) > 0).all()) for view in views)
    assert 70 < mirrored < 130
    assert 70 < whole < 130


def test_no_mirror_images_when_not_asked_for() -> None:
    settings = ClassifySettings(long_side=(9, 9), crop=9, flip=False)
    image = picture(9, 9)
    for seed in range(5):
        view = augment(image, (0.0,) * 3, (1.0,) * 3, settings, np.random.default_rng(seed))
        torch.testing.assert_close(view, torch.from_numpy(image.transpose(2, 0, 1) / np.float32(255)))
