"""Pictures of more than 8 bits and of other than three bands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.data.images import image_size, read_image
from advcam.data.pixels import as_pixels
from advcam.errors import DataError

tifffile = pytest.importorskip("tifffile")
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("bands", [4, 5, 8])
def test_16_bit_bands(tmp_path: Path, bands: int, planar: str) -> None:
    values = RNG.integers(0, 65536, (24, 40, bands), dtype=np.uint16)
    stored = values if planar == "contig" else np.moveaxis(values, 2, 0)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", planarconfig=planar)
    expected = (values.astype(np.int64) + 128) // 257
    assert image_size(tmp_path / "a.tif") == (24, 40)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", bands), expected)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), expected[..., :3])
    with pytest.raises(DataError, match=rf"a.tif: the picture has {bands} channels, and the network takes 6"):
        read_image(tmp_path / "a.tif", 6)


def test_near_infrared_beside_rgb(tmp_path: Path) -> None:
    values = RNG.integers(0, 256, (24, 40, 4), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["unspecified"])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", 4), values)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), values[..., :3])


def test_colours_of_16_bits_are_within_one_level_of_the_rule_for_arrays(tmp_path: Path) -> None:
    values = RNG.integers(0, 65536, (24, 40, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    assert np.abs(read_image(tmp_path / "a.tif").astype(int) - as_pixels(values)).max() <= 1


def test_floats_of_several_bands_keep_their_range(tmp_path: Path) -> None:
    values = RNG.random((24, 40, 5)).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", planarconfig="contig")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", 5), np.rint(values.astype(np.float64) * 255))


def test_12_bit_values_stay_as_they_are_stored(tmp_path: Path) -> None:
    values = RNG.integers(0, 4096, (24, 40), dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").max() == 16
    Image.fromarray(values * 16).save(tmp_path / "b.png")
    assert read_image(tmp_path / "b.png").max() == 255


def test_grey_and_png_bands(tmp_path: Path) -> None:
    values = RNG.integers(0, 256, (24, 40, 4), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", 4), values)
    assert read_image(tmp_path / "a.png", 1).shape == (24, 40, 1)
    with pytest.raises(DataError, match="4 channels, and the network takes 2"):
        read_image(tmp_path / "a.png", 2)


@pytest.mark.parametrize("content", [b"II*\0", b"II*\0" + b"\xff" * 60, b"not a picture", b""])
def test_damaged_files_are_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    for channels in (3, 4):
        with pytest.raises(DataError, match=r"a.tif: "):
            read_image(tmp_path / "a.tif", channels)
    with pytest.raises(DataError, match=r"a.tif: "):
        image_size(tmp_path / "a.tif")
