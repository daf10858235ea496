"""Masks and maps over images, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from advcam.errors import DataError
from advcam.report.overlays import FILL, blend, draw_outlines, hatching, heat_overlay, mask_overlay, outline

PALETTE = np.zeros((256, 3), np.uint8)
PALETTE[1], PALETTE[2] = (200, 0, 0), (0, 100, 0)


def square(size: int = 12) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[3:9, 3:9] = 1
    return mask


def test_background_stays_object_is_blended_border_is_pure():
    image = np.full((12, 12, 3), 100, np.uint8)
    drawn = mask_overlay(image, square(), PALETTE, outline_width=1)
    assert (drawn[square() == 0] == 100).all()
    assert drawn[5, 5].tolist() == [150, 50, 50]
    assert drawn[3, 5].tolist() == [200, 0, 0]
    assert (drawn == [200, 0, 0]).all(axis=2).sum() == 20
    assert (image == 100).all()


def test_ignored_pixels_are_hatched_or_left():
    image = np.full((12, 12, 3), 100, np.uint8)
    mask = np.full((12, 12), 255, np.uint8)
    drawn = mask_overlay(image, mask, PALETTE)
    assert set(np.unique(drawn).tolist()) == {80, 168}
    np.testing.assert_array_equal(drawn, blend(image, hatching(mask.shape), FILL))
    np.testing.assert_array_equal(mask_overlay(image, mask, PALETTE, hatch_ignored=False), image)


def test_outline_lies_inside_objects_and_between_them():
    mask = square()
    mask[3:9, 6:9] = 2
    border = outline(mask, 1)
    assert not border[mask == 0].any()
    assert border[5, 5]
    assert border[5, 6]
    assert not border[5, 4]
    assert outline(mask, 0).sum() == 0
    assert not outline(np.ones((6, 6), np.uint8), 2).any()


def test_heat_is_the_grey_image_where_the_map_is_zero():
    image = np.zeros((2, 2, 3), np.uint8)
    image[..., 1] = 100
    drawn = heat_overlay(image, np.array([[0.0, 0.2], [0.5, 1.0]]))
    assert drawn[0, 0].tolist() == [59, 59, 59]
    assert drawn[1, 1].tolist() == [204, 206, 138]  # three quarters of the top of inferno, 252, 255, 164
    assert drawn[1, 0].astype(int).sum() > drawn[0, 1].astype(int).sum()


def test_ground_truth_outline_over_a_map():
    image = np.zeros((12, 12, 3), np.uint8)
    mask = square()
    mask[0, :] = 255
    drawn = draw_outlines(image, mask, colour=(1, 2, 3), width=1)
    assert (drawn == [1, 2, 3]).all(axis=2).sum() == 20
    assert not image.any()


def test_one_pixel_image():
    image = np.full((1, 1, 3), 7, np.uint8)
    assert mask_overlay(image, np.zeros((1, 1), np.uint8), PALETTE).tolist() == [[[7, 7, 7]]]
    assert heat_overlay(image, np.zeros((1, 1))).tolist() == [[[7, 7, 7]]]


def test_what_cannot_be_drawn_is_named():
    image = np.zeros((4, 6, 3), np.uint8)
    with pytest.raises(DataError, match=r"the mask has size \(6, 4\) and the image \(4, 6\)"):
        mask_overlay(image, np.zeros((6, 4), np.uint8), PALETTE)
    with pytest.raises(DataError, match="the localization map has size"):
        heat_overlay(image, np.zeros((6, 4)))
    with pytest.raises(DataError, match=r"values in \[0, 1\]"):
        heat_overlay(image, np.full((4, 6), 2.0))
