"""Masks: read and checked, drawn from outlines and runs, written with VOC's palette."""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from advcam.data import Polygons, Record, read_mask, voc_palette, write_mask
from advcam.data.outlines import decode_runs, draw, ring_inside, runs_inside
from advcam.errors import DataError, RunError

SIZE = (10, 16)


def record_of(tmp_path: Path, mask: Path | Polygons | None) -> Record:
    image = tmp_path / "image.png"
    Image.new("RGB", SIZE[::-1]).save(image)
    return Record("image", image, (0,), mask)


def values() -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[2:5, 3:7] = 1
    mask[5:, 8:] = 2
    mask[4:6, 7] = 255
    return mask


def test_written_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "er" / "mask.png"
    write_mask(file, values())
    np.testing.assert_array_equal(read_mask(record_of(tmp_path, file), num_classes=2), values())
    with Image.open(file) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.reshape(image.getpalette(), (256, 3)), voc_palette())
    assert [path.name for path in file.parent.iterdir()] == ["mask.png"]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        write_mask(tmp_path / "file" / "mask.png", values())
    (tmp_path / "mask.png").mkdir()
    with pytest.raises(RunError, match="cannot be written"):
        write_mask(tmp_path / "mask.png", values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mask.png"]


def test_palette_is_that_of_voc(shared: Path) -> None:
    with Image.open(shared / "data/voc12/SegmentationClass/2007_000032.png") as image:
        np.testing.assert_array_equal(np.reshape(image.getpalette(), (256, 3)), voc_palette())


def test_grey_and_black_and_white_masks(tmp_path: Path) -> None:
    record = record_of(tmp_path, tmp_path / "mask.png")
    Image.fromarray(values()).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(record), values())
    Image.fromarray(values().astype(np.uint16)).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(record), values())
    Image.fromarray(values() == 1).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(record, num_classes=1), values() == 1)


def refused(record: Record, num_classes: int | None = 2) -> str:
    with pytest.raises(DataError) as error:
        read_mask(record, num_classes=num_classes)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_no_mask(tmp_path: Path) -> None:
    assert "no ground-truth mask" in refused(record_of(tmp_path, None))


def test_another_size(tmp_path: Path) -> None:
    write_mask(tmp_path / "mask.png", values()[:8])
    message = refused(record_of(tmp_path, tmp_path / "mask.png"))
    assert message.startswith(f"{tmp_path / 'mask.png'}: the mask is 16 x 8 pixels, but the image")
    assert "is 16 x 10" in message


def test_unknown_values(tmp_path: Path) -> None:
    write_mask(tmp_path / "mask.png", np.where(values() == 2, 7, values()).astype(np.uint8))
    assert "holds the values 7, but with 2 classes only 0 to 2 and 255" in refused(
        record_of(tmp_path, tmp_path / "mask.png")
    )


def test_values_beyond_eight_bits(tmp_path: Path) -> None:
    Image.fromarray(np.full(SIZE, 1000, np.uint16)).save(tmp_path / "mask.png")
    assert "values from 1000 to 1000" in refused(record_of(tmp_path, tmp_path / "mask.png"))


def test_colours(tmp_path: Path) -> None:
    Image.fromarray(voc_palette()[values()]).save(tmp_path / "mask.png")
    assert "a picture in colours (RGB)" in refused(record_of(tmp_path, tmp_path / "mask.png"))


def test_truncated(tmp_path: Path) -> None:
    write_mask(tmp_path / "mask.png", np.random.default_rng(0).integers(0, 3, SIZE, dtype=np.uint8))
    whole = (tmp_path / "mask.png").read_bytes()
    (tmp_path / "mask.png").write_bytes(whole[:-30])
    assert str(tmp_path / "mask.png") in refused(record_of(tmp_path, tmp_path / "mask.png"))


def test_polygons_and_runs_are_drawn_in_order(tmp_path: Path) -> None:
    crowd = array("I", (0, SIZE[0] * 4, SIZE[0] * 12))  # the first four columns
    large, small = array("f", (2, 2, 10, 2, 10, 8, 2, 8)), array("f", (4, 4, 6, 4, 6, 6, 4, 6))
    mask = read_mask(record_of(tmp_path, Polygons(((0, large), (1, small)), SIZE, ((2, crowd),))), num_classes=3)
    expected = np.zeros(SIZE, np.uint8)
    expected[:, :4] = 3
    expected[2:8, 2:10] = 1
    expected[4:6, 4:6] = 2
    np.testing.assert_array_equal(mask, expected)


def test_polygons_of_another_size(tmp_path: Path) -> None:
    assert "its annotated mask is 8 x 8 pixels" in refused(record_of(tmp_path, Polygons((), (8, 8))))
    assert "its annotated mask is 9" in refused(record_of(tmp_path, Polygons((), (10**9, 9 * 10**9))))


def test_runs_that_do_not_add_up(tmp_path: Path) -> None:
    polygons = Polygons((), SIZE, ((0, array("I", (3, 4))),))
    assert "its run lengths add up to 7, not to 16 x 10 pixels" in refused(record_of(tmp_path, polygons))


def test_more_classes_than_a_mask_can_hold() -> None:
    with pytest.raises(ValueError, match="class number 255"):
        draw(Polygons(((254, array("f", (0, 0, 4, 0, 4, 4))),), SIZE))


def test_rings_are_drawn_as_pycocotools_draws_them() -> None:
    generator = np.random.default_rng(0)
    for corners in (3, 4, 7, 20):
        ring = generator.uniform(-5, 70, 2 * corners).tolist()
        expected = coco.decode(coco.frPyObjects([ring], 50, 60))[..., 0] > 0
        np.testing.assert_array_equal(ring_inside(array("d", ring), (50, 60)), expected)
    assert ring_inside(array("d", (-9, -9, 99, -9, 99, 99, -9, 99)), (4, 5)).all()


def test_a_ring_that_would_fill_the_memory() -> None:
    with pytest.raises(ValueError, match="lies more than 140 pixels away"):
        ring_inside(array("d", (0, 0, 1e9, 0, 1e9, 1e9)), (4, 4))
    zigzag = array("d", [0.0, 0.0, 900.0, 900.0] * 50_000)
    with pytest.raises(ValueError, match="longer than that of any object"):
        ring_inside(zigzag, (1000, 1000))


def test_area_of_a_disc() -> None:
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    ring = array("f", np.stack([50 + 40 * np.cos(angles), 50 + 40 * np.sin(angles)], axis=1).ravel())
    assert ring_inside(ring, (100, 100)).sum() == pytest.approx(np.pi * 40**2, rel=2e-3)


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        ("122", [1, 2, 2]),
        ("P1", [32]),  # 0x50 - 48 = 32: goes on; then 1 << 5
        ("3<1J", [3, 12, 1, 12 - 6]),  # the fourth is a difference to the second
        ("", []),
    ],
)
def test_compressed_runs(text: str, lengths: list[int]) -> None:
    assert decode_runs(text, 100).tolist() == lengths


def test_compressed_runs_of_a_known_mask() -> None:
    """A 6 x 5 mask whose string was written with the COCO tools."""
    mask = np.zeros((6, 5), bool)
    mask[1:4, 1:3] = mask[5, 4] = True
    np.testing.assert_array_equal(runs_inside(decode_runs("7330:N", 30), (6, 5)), mask)


@pytest.mark.parametrize("text", ["P", "O", "12N", "1" * 50, "PPPPPPPPPPPP1", "o" * 5_000_000])
def test_broken_compressed_runs(text: str) -> None:
    with pytest.raises(ValueError, match="compressed run lengths"):
        decode_runs(text, 40)
