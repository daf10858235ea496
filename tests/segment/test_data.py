"""Masks that are refused before a training, and the views it sees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from advcam.data.masks import write_mask
from advcam.data.record import ImageSet, Record
from advcam.errors import DataError
from advcam.segment.data import View, check_masks, nearest_indices, random_view, take_view, with_masks


def image_set(root: Path, masks: list[np.ndarray], size: tuple[int, int] = (16, 24)) -> ImageSet:
    records = []
    for index, mask in enumerate(masks):
        image = root / f"{index}.png"
        Image.new("RGB", (size[1], size[0]), (index, 2, 3)).save(image)
        write_mask(root / "masks" / f"{index}.png", mask)
        records.append(Record(str(index), image, (), root / "masks" / f"{index}.png"))
    return ImageSet(root, "test", None, ("cat", "dog"), tuple(records))


def full(value: int, size: tuple[int, int] = (16, 24)) -> np.ndarray:
    return np.full(size, value, np.uint8)


def test_masks_are_counted_and_empty_ones_left_out(tmp_path: Path) -> None:
    half = full(0)
    half[:, :6] = 1
    found = check_masks(image_set(tmp_path, [half, full(255)]))
    assert [record.id for record in found.images.records] == ["0"]
    assert found.pixels == (16 * 18, 16 * 6, 0)
    assert found.untrained == ("dog",)
    assert "255 (ignore) in every pixel" in str(found.left_out[0])


def test_unknown_values_and_other_sizes_are_refused_by_file(tmp_path: Path) -> None:
    images = image_set(tmp_path, [full(1), full(7)])
    with pytest.raises(DataError, match=r"masks/1\.png: the mask holds the values 7"):
        check_masks(images)
    write_mask(tmp_path / "masks" / "1.png", full(1, (16, 20)))
    with pytest.raises(DataError, match=r"masks/1\.png: the mask is 20 x 16 pixels"):
        check_masks(images)
    kept = check_masks(images, skip_bad=True)
    assert len(kept.images) == 1
    assert "20 x 16" in kept.left_out[0].message


def test_a_set_in_which_nothing_can_be_learnt_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image has a mask that a network can be trained on"):
        check_masks(image_set(tmp_path, [full(255)]))


def test_masks_of_a_folder(tmp_path: Path) -> None:
    images = image_set(tmp_path, [full(1), full(2)])
    images = replace(images, records=tuple(replace(record, mask=None) for record in images.records))
    (tmp_path / "masks" / "1.png").unlink()
    found = with_masks(images, tmp_path / "masks")
    assert [(record.id, record.mask) for record in found.records] == [("0", tmp_path / "masks" / "0.png")]
    with pytest.raises(DataError, match="no such folder of masks"):
        with_masks(images, tmp_path / "nowhere")
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match=r"none of the 2 images has a mask here.*0\.png"):
        with_masks(images, tmp_path / "other")


@pytest.mark.parametrize("source", [16, 33, 321, 375, 500])
def test_nearest_is_pillows(source: int) -> None:
    numbers = Image.fromarray(np.arange(source, dtype=np.int32)[None])
    for target in (1, 21, 31, 41, 48, 63, *(int(source * factor) for factor in (0.5, 0.75, 1.25, 1.5, 1.75, 2))):
        expected = np.asarray(numbers.resize((target, 1), Image.Resampling.NEAREST))[0]
        np.testing.assert_array_equal(nearest_indices(source, target), expected)


@pytest.mark.parametrize("factor", [0.5, 0.75, 1.0, 1.25, 2.0])
def test_a_window_is_that_of_the_whole_resized_picture(factor: float) -> None:
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (45, 61, 3), dtype=np.uint8)
    mask = generator.integers(0, 3, (45, 61), dtype=np.uint8)
    size = int(45 * factor), int(61 * factor)
    view = View(size, (3, 7), mirrored=False)
    pixels, labels = take_view(image, mask, view, 40, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    whole = torch.from_numpy(image).permute(2, 0, 1)[None].double()
    whole = torch.nn.functional.interpolate(whole, size, mode="bilinear", align_corners=False)[0] / 255
    whole = (whole - torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)) / torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    expected = whole[:, 3:43, 7:47]
    height, width = expected.shape[1:]
    torch.testing.assert_close(pixels[:, :height, :width].double(), expected, rtol=0, atol=1e-5)
    assert not pixels[:, height:].any()
    assert not pixels[:, :, width:].any()
    reduced = np.asarray(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST))[3:43, 7:47]
    np.testing.assert_array_equal(labels[:height, :width].numpy(), reduced)
    assert (labels[height:] == 255).all()
    assert (labels[:, width:] == 255).all()
    mirrored, mirrored_labels = take_view(image, mask, View(size, (3, 7), True), 40, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    assert torch.equal(mirrored, pixels.flip(-1))
    assert torch.equal(mirrored_labels, labels.flip(-1))


def test_views_are_spread_over_scales_windows_and_sides() -> None:
    generator = np.random.default_rng(0)
    views = [random_view((100, 80), (0.5, 1.0, 2.0), 64, True, generator) for _ in range(1500)]
    assert {view.size for view in views} == {(50, 40), (100, 80), (200, 160)}
    own = [view for view in views if view.size == (100, 80)]
    assert {view.corner[0] for view in own} == set(range(37))
    assert {view.corner[1] for view in own} == set(range(17))
    assert all(view.corner == (0, 0) for view in views if view.size == (50, 40))
    assert 650 < sum(view.mirrored for view in views) < 850
