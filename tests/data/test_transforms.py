"""Resizing and normalisation, against the arrays that the authors' program worked on."""

from __future__ import annotations

import numpy as np
import pytest

from advcam.data.transforms import normalize, resize_long_side, scale_image, scaled_size

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [
        ((97, 131), 0.5, (48, 66)),  # 48.5 and 65.5: both to the even neighbour
        ((99, 101), 0.5, (50, 50)),  # 49.5 and 50.5
        ((97, 131), 2.0, (194, 262)),
        ((1, 400), 0.25, (1, 100)),
    ],
)
def test_sides_are_rounded_half_to_even(size: tuple[int, int], scale: float, expected: tuple[int, int]) -> None:
    assert scaled_size(size, scale) == expected


def test_scaled_images_equal_the_authors(golden) -> None:
    case = golden("multiscale/case")
    image = case["image_u8_0"]
    for number, scale in enumerate(case["scales"]):
        np.testing.assert_array_equal(scale_image(image, float(scale)), case[f"image_u8_{number}"])


def test_normalized_images_equal_the_authors(golden) -> None:
    case = golden("climb/case_A")
    np.testing.assert_array_equal(normalize(case["image_u8"], MEAN, STD), case["x0"][0])


def test_normalization_is_rounded_once() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    expected = ((image / 255 - np.array(MEAN)) / np.array(STD)).astype(np.float32).transpose(2, 0, 1)
    result = normalize(image, MEAN, STD)
    np.testing.assert_array_equal(result, expected)
    assert result.flags.c_contiguous


def test_an_image_of_the_wanted_size_is_untouched() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    assert scale_image(image, 1.0) is image
    assert resize_long_side(image, 40) is image
    assert resize_long_side(image, 20).shape == (15, 20, 3)
