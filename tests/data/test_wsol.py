"""The text files of the localization protocol."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.data import Box, open_dataset, read_mask, splits
from advcam.data.masks import objects_and_ignored
from advcam.data.record import MaskFiles
from advcam.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "001.Albatross").mkdir()
    for name in ("a.jpg", "b, c.jpg"):
        Image.new("RGB", (16, 12)).save(tmp_path / "001.Albatross" / name)
    for split in ("train", "test"):
        folder = tmp_path / "metadata" / "CUB" / split
        folder.mkdir(parents=True)
        (folder / "image_ids.txt").write_text("001.Albatross/b, c.jpg\n001.Albatross/a.jpg")
        (folder / "class_labels.txt").write_text("001.Albatross/a.jpg,0\n001.Albatross/b, c.jpg,2")
    (folder / "image_sizes.txt").write_text("001.Albatross/a.jpg,16,12\n001.Albatross/b, c.jpg,16,12")
    (folder / "localization.txt").write_text(
        "001.Albatross/a.jpg,1,2,9,11\n001.Albatross/a.jpg,3,4,5,6\n001.Albatross/b, c.jpg,0,0,15,11"
    )
    return tmp_path


def test_classes_and_boxes(root: Path) -> None:
    assert splits(root / "metadata/CUB") == ("test", "train")
    found = open_dataset(root / "metadata/CUB", "test")
    assert (found.format, found.root) == ("WSOL metadata", root)
    assert found.class_names == ("0", "1", "2")
    first, second = found.records
    assert (first.id, first.classes) == ("001.Albatross/a", (0,))
    assert first.boxes == (Box(0, 1, 2, 9, 11), Box(0, 3, 4, 5, 6))
    assert (second.id, second.classes, second.boxes) == ("001.Albatross/b, c", (2,), (Box(2, 0, 0, 15, 11),))
    assert open_dataset(root / "metadata/CUB/train").records[0].boxes is None


def test_names_of_the_classes(root: Path) -> None:
    names = ("Albatross", "Auklet", "Bunting", "Cardinal")
    assert open_dataset(root / "metadata/CUB", "test", classes=names).class_names == names
    (root / "metadata/CUB/test/classes.txt").write_text("\n".join(names))
    assert open_dataset(root / "metadata/CUB/test").class_names == names
    with pytest.raises(DataError, match="whose class '2' is no number from 0 to 1"):
        open_dataset(root / "metadata/CUB", "test", classes=names[:2])


def test_images_elsewhere(root: Path, tmp_path: Path) -> None:
    (root / "001.Albatross").rename(root / "moved")
    (root / "images").mkdir()
    (root / "moved").rename(root / "images/001.Albatross")
    with pytest.raises(DataError, match="none of its first images lies in a folder above it: give the images' folder"):
        open_dataset(root / "metadata/CUB", "test")
    found = open_dataset(root / "images", "test", labels=root / "metadata/CUB")
    assert [record.id for record in found.records] == ["001.Albatross/a", "001.Albatross/b, c"]


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("image_ids.txt", "001.Albatross/a.jpg\ngone.jpg", "line 2 names 'gone.jpg', but there is no such image"),
        ("image_ids.txt", "001.Albatross/a.jpg\n../a.jpg", "leads out of the data folder"),
        ("image_ids.txt", "001.Albatross/a.jpg\n001.Albatross/a.jpg", "the image is listed twice"),
        ("class_labels.txt", "001.Albatross/a.jpg,0", "an image without label: add it to class_labels.txt"),
        ("class_labels.txt", "001.Albatross/a.jpg,0\n001.Albatross/b, c.jpg,x", "whose class 'x' is no number"),
        ("class_labels.txt", "001.Albatross/a.jpg,0\n001.Albatross/b, c.jpg,99999999", "is no number from 0 to 0"),
        ("class_labels.txt", "001.Albatross/a.jpg,0\n001.Albatross/b, c.jpg,1\nq.jpg,1", "belongs to no image"),
        ("localization.txt", "001.Albatross/a.jpg,1,2,9,11\nq.jpg,1,2,3,4", "belongs to no image of image_ids.txt"),
    ],
)
def test_bad_lines(root: Path, file: str, content: str, sentence: str) -> None:
    (root / "metadata/CUB/test" / file).write_text(content)
    with pytest.raises(DataError) as error:
        open_dataset(root / "metadata/CUB/test")
    assert str(error.value).startswith(str(root))
    found = open_dataset(root / "metadata/CUB/test", skip_bad=True)
    assert found.records[0].id == "001.Albatross/a"
    assert any(sentence in str(problem) for problem in found.left_out)


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("class_labels.txt", "001.Albatross/a.jpg", "line 1 has 1 cells instead of 2"),
        ("localization.txt", "001.Albatross/a.jpg,1,2", "line 1 has 3 cells instead of 5"),
        ("localization.txt", "001.Albatross/a.jpg,x.png,", "line 1 names the mask 'x.png', but"),
        ("localization.txt", "001.Albatross/a.jpg,../x.png,", "leads out of the data folder"),
        ("localization.txt", "001.Albatross/a.jpg,1,2,3,right", "line 1 has a corner that is no finite number"),
        ("image_ids.txt", "", "the file is empty"),
    ],
)
def test_bad_files(root: Path, file: str, content: str, sentence: str) -> None:
    (root / "metadata/CUB/test" / file).write_text(content)
    with pytest.raises(DataError, match=sentence):
        open_dataset(root / "metadata/CUB/test")


def test_masks_of_objects_and_of_what_does_not_count(root: Path) -> None:
    (root / "masks").mkdir()
    for name, (x0, x1) in {"one": (0, 4), "two": (6, 8), "none": (3, 7)}.items():
        mask = np.zeros((6, 8), np.uint8)
        mask[:, x0:x1] = 255
        Image.fromarray(mask).save(root / f"masks/{name}.png")
    (root / "metadata/CUB/test/localization.txt").write_text(
        "001.Albatross/a.jpg,one.png,none.png\n001.Albatross/a.jpg,two.png,\n001.Albatross/b, c.jpg,one.png,"
    )
    first, second = open_dataset(root / "metadata/CUB", "test").records
    assert isinstance(first.mask, MaskFiles)
    assert [path.name for path in first.mask.objects] == ["one.png", "two.png"]
    # The masks have half the image's size; what does not count gives way to objects.
    assert read_mask(first)[0].tolist() == [1] * 8 + [255] * 4 + [1] * 4
    assert read_mask(second)[11].tolist() == [3] * 8 + [0] * 8
    foreground, ignored = objects_and_ignored(first.mask, 3, 4)
    assert foreground[0].tolist() == [True, True, False, True]
    assert ignored[0].tolist() == [False, False, True, False]


def test_the_real_subset(shared: Path) -> None:
    lists = shared / "data/voc12/wsol"
    assert splits(lists) == ("test", "train", "val")
    for split, size in (("train", 637), ("val", 150), ("test", 84)):
        found = open_dataset(lists, split)
        assert (len(found), found.root.resolve()) == (size, (shared / "data/voc12").resolve())
        assert len(found.class_names) == 20
        assert all(record.boxes for record in found.records) == (split != "train")
    first = open_dataset(lists, "test").records[0]
    assert (first.id, first.classes) == ("JPEGImages/2007_000033", (0,))
    assert first.boxes is not None
    assert first.boxes[0] == Box(0, 9, 107, 499, 263)
