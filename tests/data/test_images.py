"""Files of every kind become the picture that a person sees; broken ones become one sentence."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.data import image_size, read_image
from advcam.errors import DataError

H, W = 12, 20


def picture() -> np.ndarray:
    """Red left above, green left below, blue on the right: every turn can be told."""
    pixels = np.zeros((H, W, 3), np.uint8)
    pixels[: H // 2, : W // 2] = (255, 0, 0)
    pixels[H // 2 :, : W // 2] = (0, 255, 0)
    pixels[:, W // 2 :] = (0, 0, 255)
    return pixels


def stored_turned(orientation: int) -> np.ndarray:
    """What a camera stores so that EXIF ``orientation`` turns it back into ``picture``."""
    upright = picture()
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }
    return np.ascontiguousarray(turned[orientation])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_exif_orientation(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}.get(suffix, {})
    file = tmp_path / f"turned{suffix}"
    Image.fromarray(stored_turned(orientation)).save(file, exif=exif, **options)
    tolerance = 4 if suffix == ".jpg" else 0
    np.testing.assert_allclose(read_image(file).astype(int), picture(), atol=tolerance)
    assert image_size(file) == (H, W)


def test_grey_is_repeated(tmp_path: Path) -> None:
    values = np.arange(H * W, dtype=np.uint8).reshape(H, W)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.repeat(values[..., None], 3, axis=2))


def test_black_and_white(tmp_path: Path) -> None:
    Image.new("1", (W, H), 1).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == 255).all()


def test_what_is_transparent_shows_white(tmp_path: Path) -> None:
    pixels = np.dstack([picture(), np.full((H, W), 255, np.uint8)])
    pixels[:, :5, 3] = 0
    pixels[:, 5:10, 3] = 51
    Image.fromarray(pixels).save(tmp_path / "rgba.png")
    image = read_image(tmp_path / "rgba.png")
    assert image[0, 0].tolist() == [255, 255, 255]
    assert image[0, 7].tolist() == [255, 204, 204]  # a fifth red, four fifths white
    assert image[0, 15].tolist() == [0, 0, 255]

    Image.fromarray(np.dstack([np.full((H, W), 100, np.uint8), pixels[..., 3]])).save(tmp_path / "la.png")
    assert read_image(tmp_path / "la.png")[0, [0, 15]].tolist() == [[255] * 3, [100] * 3]


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    image = Image.fromarray(np.repeat(np.array([[0, 1]], np.uint8), H, axis=0).repeat(10, axis=1))
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "opaque.png")
    assert read_image(tmp_path / "opaque.png")[0, [0, 19]].tolist() == [[10, 20, 30], [40, 50, 60]]
    image.save(tmp_path / "clear.gif", transparency=0)
    assert read_image(tmp_path / "clear.gif")[0, [0, 19]].tolist() == [[255, 255, 255], [40, 50, 60]]


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (W, H), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg")[0, 0], [255, 0, 0], atol=3)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_scaled(tmp_path: Path, suffix: str) -> None:
    values = np.linspace(0, 65535, H * W).astype(np.uint16).reshape(H, W)
    Image.fromarray(values).save(tmp_path / f"a{suffix}")
    expected = np.rint(values / 257)
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}")[..., 1], expected)


@pytest.mark.parametrize(
    ("low", "high", "dtype", "expected"),
    [
        (0, 1, np.float32, (0, 255)),
        (0, 0.5, np.float32, (0, 128)),
        (0, 200, np.float32, (0, 200)),
        (0, 65535, np.float32, (0, 255)),
        (-3, 5, np.float32, (0, 255)),
        (7, 7, np.float32, (7, 7)),
        (-7, -7, np.float32, (0, 0)),
        (0, 1, np.int32, (0, 1)),
        (0, 25700, np.int32, (0, 100)),
        (-1000, 3000, np.int32, (0, 255)),
    ],
)
def test_wide_grey(tmp_path: Path, low: float, high: float, dtype: type, expected: tuple[int, int]) -> None:
    values = np.full((H, W), low, dtype)
    values[:, W // 2 :] = high
    Image.fromarray(values).save(tmp_path / "a.tif")
    image = read_image(tmp_path / "a.tif")
    assert (image[0, 0, 0], image[0, -1, 2]) == expected


def test_the_result_can_be_written_to(tmp_path: Path) -> None:
    Image.new("RGB", (W, H)).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    image[0] = 1
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous


def refused(path: Path) -> str:
    with pytest.raises(DataError) as error:
        read_image(path)
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text


def test_missing(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "a.jpg")


def test_folder(tmp_path: Path) -> None:
    assert "cannot be opened" in refused(tmp_path)


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    assert "is empty" in refused(tmp_path / "a.jpg")


def test_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("<html>not found</html>")
    assert "not an image of a kind that is read" in refused(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".gif", ".bmp"])
def test_truncated(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    message = refused(file)
    assert "truncated or damaged" in message or "not an image of a kind that is read" in message
    assert "skip_bad" in message


def test_damaged_in_the_middle_never_raises_anything_else(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    for suffix in (".jpg", ".png", ".tif", ".gif", ".webp", ".bmp"):
        file = tmp_path / f"a{suffix}"
        Image.fromarray(noise).save(file)
        whole = bytearray(file.read_bytes())
        for _ in range(40):
            broken = bytearray(whole)
            for position in generator.integers(0, len(whole), 8):
                broken[position] = generator.integers(0, 256)
            file.write_bytes(broken)
            for read in (read_image, image_size):
                with suppress(DataError):
                    read(file)


def test_one_pixel(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "a.png")
    assert "the image is 1 x 1 pixels, but at least 8 x 8 are needed" in refused(tmp_path / "a.png")
    with pytest.raises(DataError, match="1 x 1 pixels"):
        image_size(tmp_path / "a.png")


def test_decompression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above its limit Pillow itself only warns, above twice the limit it raises."""
    Image.new("RGB", (W, H)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", H * W - 1)
    assert read_image(tmp_path / "a.png").shape == (H, W, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", H * W // 3)
    message = refused(tmp_path / "a.png")
    assert f"at most {2 * (H * W // 3)} are read" in message
    with pytest.raises(DataError, match="make it smaller"):
        image_size(tmp_path / "a.png")


def test_real_bomb(tmp_path: Path) -> None:
    """A header that promises 40000 x 40000 pixels, as a few bytes can."""
    file = tmp_path / "bomb.ppm"
    file.write_bytes(b"P6 40000 40000 255\n" + b"\0" * 100)
    assert "at most 178956970 are read" in refused(file)


def test_not_finite(tmp_path: Path) -> None:
    values = np.full((H, W), np.nan, np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert "not finite" in refused(tmp_path / "a.tif")


def test_sizes_of_real_photographs(shared: Path) -> None:
    files = sorted((shared / "data/voc12/JPEGImages").iterdir())[:20]
    assert [image_size(file) for file in files] == [read_image(file).shape[:2] for file in files]
