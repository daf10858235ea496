"""Pictures in memory are read by the rules for files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from advcam.data.images import read_image
from advcam.data.pixels import as_pixels
from advcam.errors import DataError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (12, 16, 3), dtype=np.uint8)
GREY = RNG.integers(0, 65536, (12, 16), dtype=np.uint16)
KINDS = {
    "rgb.png": Image.fromarray(RGB),
    "rgba.png": Image.fromarray(RNG.integers(0, 256, (12, 16, 4), dtype=np.uint8)),
    "palette.gif": Image.fromarray(RGB).quantize(8),
    "cmyk.jpg": Image.fromarray(RGB).convert("CMYK"),
    "grey16.png": Image.fromarray(GREY),
    "float.tif": Image.fromarray((GREY / 65535).astype(np.float32)),
    "bits.png": Image.fromarray(RGB).convert("1"),
}


@pytest.mark.parametrize("name", KINDS)
def test_files_and_opened_pictures_are_alike(tmp_path: Path, name: str) -> None:
    KINDS[name].save(tmp_path / name)
    with Image.open(tmp_path / name) as picture:
        np.testing.assert_array_equal(as_pixels(picture), read_image(tmp_path / name))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_opened_pictures_are_turned(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as picture:
        found = as_pixels(picture)
    np.testing.assert_array_equal(found, read_image(tmp_path / "a.jpg"))
    assert found.shape == ((12, 16, 3) if orientation < 5 else (16, 12, 3))


def test_arrays_of_every_kind() -> None:
    np.testing.assert_array_equal(as_pixels(RGB[..., ::-1]), RGB[..., ::-1])
    np.testing.assert_array_equal(as_pixels(torch.from_numpy(RGB)), RGB)
    for grey in (RGB[..., 0], RGB[..., :1]):
        np.testing.assert_array_equal(as_pixels(grey), np.repeat(RGB[..., :1], 3, axis=2))
    np.testing.assert_array_equal(as_pixels(GREY)[..., 0], (GREY.astype(np.int64) + 128) // 257)
    np.testing.assert_array_equal(as_pixels(RGB / 255), RGB)
    np.testing.assert_array_equal(as_pixels(RGB.astype(np.float64)), RGB)
    assert as_pixels(RGB[..., 0] > 99).max() == 255
    transparent = np.dstack([RGB, np.zeros((12, 16), np.uint8)])
    assert (as_pixels(transparent) == 255).all()


def test_floats_around_zero_use_the_whole_range() -> None:
    found = as_pixels(np.linspace(-0.1, 0.1, 12 * 16).reshape(12, 16))
    assert (found.min(), found.max()) == (0, 255)


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (RGB.transpose(2, 0, 1), r"shape \(3, 12, 16\).*with the channels last: transpose"),
        (RGB[None], "must be height x width x 3"),
        (RGB[:0], "must be height x width x 3"),
        (np.full((12, 16), np.nan), "some of its values are not finite"),
        (np.full((12, 16, 4), 0.5), "holds 4 channels of float64"),
        (np.full((12, 16), 1j), "holds 1 channels of complex128"),
    ],
)
def test_what_is_no_picture_is_one_sentence(array: np.ndarray, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        as_pixels(array)
