"""Ground-truth objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.data import open_dataset
from advcam.data.masks import read_objects, write_mask
from advcam.data.record import Record
from advcam.data.scenes import SceneSettings, write_scenes
from advcam.errors import DataError


def record(folder: Path, labels: np.ndarray, numbers: np.ndarray) -> Record:
    Image.fromarray(np.zeros((*labels.shape, 3), np.uint8)).save(folder / "a.png")
    write_mask(folder / "labels.png", labels.astype(np.uint8))
    write_mask(folder / "objects.png", numbers.astype(np.uint8))
    return Record("a", folder / "a.png", (), folder / "labels.png", objects=folder / "objects.png")


def test_classes_come_from_the_mask(tmp_path: Path):
    labels, numbers = np.zeros((8, 12)), np.zeros((8, 12))
    labels[:, :4], labels[:, 6:9], labels[:, 9:] = 3, 3, 1
    labels[:, 3], numbers[:, 3] = 255, 255
    numbers[:, :3], numbers[:, 6:9], numbers[:, 9:] = 1, 2, 3
    classes, masks = read_objects(record(tmp_path, labels, numbers))
    assert classes.tolist() == [2, 2, 0]
    assert masks.sum(axis=(1, 2)).tolist() == [24, 24, 24]
    assert not masks[:, :, 3].any()


def test_without_objects(tmp_path: Path):
    classes, masks = read_objects(record(tmp_path, np.zeros((8, 12)), np.zeros((8, 12))))
    assert classes.shape == (0,)
    assert masks.shape == (0, 8, 12)


def test_unfit_files_are_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"objects.png: object 2 lies where .*labels.png has no class"):
        read_objects(record(tmp_path, np.zeros((8, 12)), np.full((8, 12), 2)))
    wrong = record(tmp_path, np.zeros((8, 12)), np.zeros((8, 12)))
    write_mask(tmp_path / "objects.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(DataError, match=r"objects.png: must be an indexed picture of 12 x 8 pixels"):
        read_objects(wrong)
    with pytest.raises(DataError, match="has no ground-truth objects"):
        read_objects(Record("a", tmp_path / "a.png", (), tmp_path / "labels.png"))


def test_scenes_have_them(tmp_path: Path):
    out = write_scenes(tmp_path / "scenes", SceneSettings(train=1, val=4, test=1))
    for found in open_dataset(out, "val").records:
        classes, masks = read_objects(found)
        assert set(classes.tolist()) == set(found.classes)
        assert (masks.sum(axis=0) <= 1).all()
        with Image.open(found.mask) as mask:
            labels = np.array(mask)
        assert np.array_equal(masks.any(axis=0), (labels > 0) & (labels < 255))
