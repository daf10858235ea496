"""One folder for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.data import ImageSet, open_dataset, splits, write_mask
from advcam.errors import DataError


def put(root: Path, *names: str) -> None:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 12)).save(file)


def content(image_set: ImageSet) -> dict[str, tuple[str, ...]]:
    return {record.id: tuple(image_set.class_names[c] for c in record.classes) for record in image_set.records}


def test_folders_are_classes(tmp_path: Path) -> None:
    put(tmp_path, "guinea pig/a.jpg", "cat/a.jpg", "cat/deep/b.v1.png")
    (tmp_path / "empty").mkdir()
    found = open_dataset(tmp_path)
    assert found.format == "one folder for each class"
    assert found.class_names == ("cat", "guinea pig")
    assert content(found) == {"cat/a": ("cat",), "cat/deep/b.v1": ("cat",), "guinea pig/a": ("guinea pig",)}


def test_splits(tmp_path: Path) -> None:
    put(tmp_path, "train/cat/a.jpg", "train/dog/b.jpg", "val/dog/c.jpg")
    assert splits(tmp_path) == ("train", "val")
    assert content(open_dataset(tmp_path, "val")) == {"val/dog/c": ("dog",)}
    assert open_dataset(tmp_path, "val").class_names == ("cat", "dog")
    assert len(open_dataset(tmp_path)) == 3


def test_masks_beside_the_classes(tmp_path: Path) -> None:
    put(tmp_path, "cat/a.jpg", "dog/b.jpg")
    write_mask(tmp_path / "masks/cat/a.png", np.zeros((12, 16), np.uint8))
    found = open_dataset(tmp_path)
    assert found.class_names == ("cat", "dog")
    assert [record.mask is not None for record in found.records] == [True, False]


def test_a_class_that_is_called_masks(tmp_path: Path) -> None:
    put(tmp_path, "masks/a.jpg", "no_masks/b.jpg")
    assert open_dataset(tmp_path).class_names == ("masks", "no_masks")


def test_class_order_from_a_file(tmp_path: Path) -> None:
    put(tmp_path, "cat/a.jpg", "dog/b.jpg")
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    assert open_dataset(tmp_path).class_names == ("dog", "cat")


def test_what_cannot_be_used(tmp_path: Path) -> None:
    put(tmp_path, "cat/a.jpg", "cat/a.png", "dog/b.jpg", "brid/d.jpg")
    (tmp_path / "dog/c.jpg").touch()
    (tmp_path / "classes.txt").write_text("bird\ncat\ndog\n")
    found = open_dataset(tmp_path, skip_bad=True)
    assert list(content(found)) == ["cat/a", "dog/b"]
    assert sorted(str(problem) for problem in found.left_out) == [
        f"{tmp_path}/brid/d.jpg: the image names the class 'brid', which is none of the 3 classes: did you mean "
        "'bird'?",
        f"{tmp_path}/cat/a.png: the image has the same id 'cat/a' as {tmp_path}/cat/a.jpg: rename one of them",
        f"{tmp_path}/dog/c.jpg: the image is empty: replace it, or remove it",
    ]


@pytest.mark.parametrize(
    "names", [("images/a.jpg",), ("images/a.jpg", "masks/a.png"), ("cat/a.jpg", "b.jpg"), ("a.jpg",)]
)
def test_images_without_labels(tmp_path: Path, names: tuple[str, ...]) -> None:
    put(tmp_path, *names)
    with pytest.raises(DataError, match=r"no labels.*add a table labels.csv with the columns image and labels"):
        open_dataset(tmp_path)
