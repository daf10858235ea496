"""The layout of COCO, made small and as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from advcam.data import Box, Polygons, open_dataset, read_mask, splits
from advcam.errors import DataError

SQUARE = [[2, 2, 10, 2, 10, 8, 2, 8]]


def small() -> dict[str, Any]:
    return {
        "images": [
            {"id": 7, "file_name": "b.jpg", "width": 16, "height": 12},
            {"id": 3, "file_name": "a.jpg", "width": 16, "height": 12},
        ],
        "categories": [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}, {"id": 17, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 90, "segmentation": SQUARE, "bbox": [2, 2, 8, 6], "area": 48},
            {"id": 2, "image_id": 7, "category_id": 1, "segmentation": SQUARE, "bbox": [2, 2, 8, 6], "area": 60},
            {
                "id": 3,
                "image_id": 7,
                "category_id": 17,
                "iscrowd": 1,
                "area": 24,
                "segmentation": {"size": [12, 16], "counts": [0, 24, 168]},
                "bbox": [0, 0, 2, 12],
            },
        ],
    }


def write(root: Path, content: Any, split: str = "train2017", folder: str = "train2017") -> Path:
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (16, 12)).save(root / folder / name)
    file = root / f"annotations/instances_{split}.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_classes_boxes_and_masks(tmp_path: Path) -> None:
    write(tmp_path, small())
    found = open_dataset(tmp_path)
    assert (found.format, found.split) == ("COCO layout", "train2017")
    assert found.class_names == ("person", "cat", "toothbrush")
    empty, full = found.records
    assert (empty.id, empty.classes, empty.boxes) == ("a", (), ())
    assert (read_mask(empty) == 0).all()
    assert full.classes == (0, 1, 2)
    assert full.boxes == (Box(2, 2, 2, 10, 8), Box(0, 2, 2, 10, 8), Box(1, 0, 0, 2, 12))
    expected = np.zeros((12, 16), np.uint8)
    expected[:, :2] = 2  # the crowd
    expected[2:8, 2:10] = 3  # the smaller of the two squares by area, though it comes first in the file
    np.testing.assert_array_equal(read_mask(full, num_classes=3), expected)


def test_compressed_runs(tmp_path: Path) -> None:
    content = small()
    content["annotations"] = content["annotations"][2:]
    content["annotations"][0]["segmentation"] = {"size": [6, 5], "counts": "7330:N"}
    content["images"][0] |= {"height": 6, "width": 5}
    write(tmp_path, content)
    mask = open_dataset(tmp_path).records[1].mask
    assert isinstance(mask, Polygons)
    assert (mask.size, mask.runs[0][1].tolist()) == ((6, 5), [7, 3, 3, 3, 13, 1])


@pytest.mark.parametrize("folder", ["train2017", "images/train2017", "images", "."])
def test_where_the_images_lie(tmp_path: Path, folder: str) -> None:
    file = write(tmp_path, small(), folder=folder)
    assert len(open_dataset(tmp_path)) == 2
    assert len(open_dataset(file)) == 2
    assert len(open_dataset(tmp_path / folder, labels=file)) == 2


def test_several_files(tmp_path: Path) -> None:
    write(tmp_path, small())
    write(tmp_path, small(), split="val2017")
    (tmp_path / "annotations/captions_val2017.json").write_text("{}")
    assert splits(tmp_path) == ("train2017", "val2017")
    with pytest.raises(DataError, match="several splits: choose one"):
        open_dataset(tmp_path)


def test_export_with_the_file_among_the_images(tmp_path: Path) -> None:
    file = write(tmp_path, small(), folder="train")
    file.rename(tmp_path / "train/_annotations.coco.json")
    assert splits(tmp_path) == ("train",)
    assert len(open_dataset(tmp_path)) == 2


def test_objects_with_boxes_only(tmp_path: Path) -> None:
    content = small()
    del content["annotations"][0]["segmentation"]
    write(tmp_path, content)
    assert [record.mask is None for record in open_dataset(tmp_path).records] == [False, True]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c["images"][0].update(file_name="gone.jpg"), "image 7 names 'gone.jpg', but there is no such image"),
        (lambda c: c["images"][0].update(file_name="../b.jpg"), "leads out of the data folder"),
        (
            lambda c: c["annotations"][0].update(category_id=2),
            "image 7 (b.jpg) has the category 2, which is not listed",
        ),
        (lambda c: c["annotations"][0].update(bbox=[1, 2]), "image 7 (b.jpg) has a shape or a box that is not made of"),
        (
            lambda c: c["annotations"][0].update(segmentation=[["x"] * 6]),
            "image 7 (b.jpg) has a shape or a box that is",
        ),
        (lambda c: c["annotations"][0].update(segmentation=[[1] * 7]), "image 7 (b.jpg) has a shape or a box that is"),
        (lambda c: c["annotations"][2].update(segmentation={"counts": "P", "size": [1, 1]}), "has a shape or a box"),
        (lambda c: c["annotations"][2]["segmentation"].update(size=[16, 12]), "has runs for a size of (16, 12)"),
        (lambda c: c["images"][0].update(id=8), "annotations belong to images that are not listed (7)"),
        (lambda c: c["images"].append({"id": 9, "file_name": "a.jpg"}), "the image is listed twice"),
    ],
)
def test_bad_entries(tmp_path: Path, change: Any, sentence: str) -> None:
    content = small()
    change(content)
    write(tmp_path, content)
    with pytest.raises(DataError) as error:
        open_dataset(tmp_path)
    assert sentence in str(error.value)
    found = open_dataset(tmp_path, skip_bad=True)
    assert "a" in [record.id for record in found.records]
    assert any(sentence in str(problem) for problem in found.left_out)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "the file is empty"),
        ("{", "this is not JSON"),
        ("[]", "it lacks one of the lists"),
        ('{"images": []}', "it lacks one of the lists"),
        (small() | {"categories": []}, "there are no categories"),
        (small() | {"categories": [{"id": 1, "name": "x"}, {"id": 2, "name": "x"}]}, "two categories are called 'x'"),
        (small() | {"annotations": [{"caption": "a cat"}]}, "an annotation has no image_id or no category_id"),
        (small() | {"images": [{"id": 1}]}, "an image has no id or no file_name"),
    ],
)
def test_bad_files(tmp_path: Path, content: Any, sentence: str) -> None:
    write(tmp_path, content)
    with pytest.raises(DataError, match=sentence):
        open_dataset(tmp_path)


def test_a_size_that_is_not_the_images(tmp_path: Path) -> None:
    content = small()
    del content["annotations"][2]
    content["images"][0] |= {"height": 120, "width": 160}
    write(tmp_path, content)
    with pytest.raises(DataError, match=r"its annotated mask is 160 x 120 pixels, but the image .* is 16 x 12"):
        read_mask(open_dataset(tmp_path).records[1])


def test_other_classes_than_were_expected(tmp_path: Path) -> None:
    write(tmp_path, small())
    with pytest.raises(DataError, match=r"its categories are person, cat, toothbrush, not the 2 classes"):
        open_dataset(tmp_path, classes=["person", "cat"])


def test_the_real_subset(shared: Path) -> None:
    for split, size in (("train2017", 30), ("val2017", 20)):
        found = open_dataset(shared / "data/coco", split)
        assert (len(found), len(found.class_names), found.has_masks) == (size, 80, True)
        assert found.class_names[:2] + found.class_names[-2:] == ("person", "bicycle", "hair drier", "toothbrush")
        for record in found.records:
            shown = set(np.unique(read_mask(record, num_classes=80)).tolist()) - {0}
            assert shown <= {number + 1 for number in record.classes}
