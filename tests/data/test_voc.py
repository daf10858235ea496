"""The layout of PASCAL VOC, made small and as it is."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.data import VOC_CLASSES, Box, open_dataset, read_mask, splits, write_mask
from advcam.errors import DataError

OBJECT = """<object><name>{name}</name><part><name>{part}</name></part><difficult>1</difficult>
<bndbox><xmax>9</xmax><xmin>3.0</xmin><ymin>2</ymin><ymax>12</ymax></bndbox></object>"""


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    for name in ("2007_000032", "2007_000033", "2008_000002"):
        (tmp_path / "JPEGImages").mkdir(exist_ok=True)
        Image.new("RGB", (16, 12)).save(tmp_path / f"JPEGImages/{name}.jpg")
    write_mask(tmp_path / "SegmentationClass/2007_000032.png", np.full((12, 16), 20, np.uint8))
    lists = tmp_path / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_000032\r\n2008_000002\r\n")
    (lists / "val.txt").write_text("2007_000033\n")
    annotate(tmp_path, "2007_000032", ("tvmonitor", "screen"), ("cat", "head"))
    annotate(tmp_path, "2007_000033", ("dog", "person"))
    annotate(tmp_path, "2008_000002", ("sofa", ""))
    return tmp_path


def annotate(root: Path, name: str, *objects: tuple[str, str]) -> None:
    (root / "Annotations").mkdir(exist_ok=True)
    text = "".join(OBJECT.format(name=name, part=part) for name, part in objects)
    (root / f"Annotations/{name}.xml").write_text(f"<annotation><owner><name>bird</name></owner>{text}</annotation>")


def names(root: Path, split: str, **options) -> dict[str, tuple[str, ...]]:
    found = open_dataset(root, split, **options)
    return {record.id: tuple(found.class_names[c] for c in record.classes) for record in found.records}


def test_labels_and_boxes_from_annotations(voc: Path) -> None:
    assert splits(voc) == ("train", "val")
    found = open_dataset(voc, "train")
    assert found.format == "Pascal VOC layout"
    assert found.class_names == VOC_CLASSES
    assert names(voc, "train") == {"2007_000032": ("cat", "tvmonitor"), "2008_000002": ("sofa",)}
    # A part that is a class counts, as in the field's labels.
    assert names(voc, "val") == {"2007_000033": ("dog", "person")}
    assert found.records[0].boxes == (Box(19, 2, 1, 9, 12), Box(7, 2, 1, 9, 12))
    assert [record.mask is not None for record in found.records] == [True, False]
    assert (read_mask(found.records[0], num_classes=20) == 20).all()


def test_labels_from_a_table_come_first(voc: Path) -> None:
    (voc / "image_labels.csv").write_text("image,labels\n2007_000032,bus person\nJPEGImages/2008_000002.jpg,bus\n")
    assert names(voc, "train") == {"2007_000032": ("bus", "person"), "2008_000002": ("bus",)}
    (voc / "mine.csv").write_text("image,labels\n2007_000032,cow\n2008_000002,horse\n")
    assert names(voc, "train", labels=voc / "mine.csv") == {"2007_000032": ("cow",), "2008_000002": ("horse",)}


@pytest.mark.parametrize("keys", ["str", "int32"])
def test_labels_from_the_pickled_dict(voc: Path, keys: str) -> None:
    vectors = {name: np.zeros(20, np.float32) for name in ("2007_000032", "2008_000002")}
    vectors["2007_000032"][[4, 0]] = vectors["2008_000002"][19] = 1
    labels = (
        {np.int32(name.replace("_", "")): vector for name, vector in vectors.items()} if keys == "int32" else vectors
    )
    np.save(voc / "cls_labels.npy", labels, allow_pickle=True)
    assert names(voc, "train") == {"2007_000032": ("aeroplane", "bottle"), "2008_000002": ("tvmonitor",)}
    (voc / "image_labels.csv").write_text("image,labels\n2007_000032,bus\n2008_000002,bus\n")
    assert names(voc, "train", labels=voc / "cls_labels.npy")["2008_000002"] == ("tvmonitor",)


class Malice:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (os.mkdir, (str(self.mark),))


def test_a_pickle_runs_nothing(voc: Path) -> None:
    np.save(voc / "cls_labels.npy", {"2007_000032": Malice(voc / "was here")}, allow_pickle=True)
    with pytest.raises(DataError, match=r"cls_labels.npy: .* asks for .*mkdir, and only arrays, strings and numbers"):
        open_dataset(voc, "train")
    assert not (voc / "was here").exists()


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY", pickle.dumps({"a": 1}), b"\x93NUMPY\x01\x00\x10\x00" + b"x" * 16]
)
def test_a_broken_pickle(voc: Path, content: bytes) -> None:
    (voc / "cls_labels.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"cls_labels.npy: this is not a whole .npy file"):
        open_dataset(voc, "train")


def test_a_truncated_pickle(voc: Path) -> None:
    np.save(voc / "cls_labels.npy", {"2007_000032": np.ones(20)}, allow_pickle=True)
    (voc / "cls_labels.npy").write_bytes((voc / "cls_labels.npy").read_bytes()[:-40])
    with pytest.raises(DataError, match=r"cls_labels.npy: "):
        open_dataset(voc, "train")


def test_vectors_of_another_length(voc: Path) -> None:
    np.save(voc / "cls_labels.npy", {"2007_000032": np.ones(3), "2008_000002": np.ones(3)}, allow_pickle=True)
    with pytest.raises(DataError, match=r"list them in classes.txt"):
        open_dataset(voc, "train")
    (voc / "classes.txt").write_text("a\nb\nc\n")
    assert names(voc, "train")["2007_000032"] == ("a", "b", "c")


def test_lists_of_images_and_masks(voc: Path) -> None:
    line = "/JPEGImages/{0}.jpg /SegmentationClassAug/{0}.png\n"
    file = voc / "ImageSets/Segmentation/train_aug.txt"
    file.write_text(line.format("2007_000032") + line.format("2008_000002"))
    # Without SegmentationClassAug the other masks serve.
    assert [r.mask and r.mask.parent.name for r in open_dataset(voc, "train_aug").records] == [
        "SegmentationClass",
        None,
    ]
    write_mask(voc / "SegmentationClassAug/2007_000032.png", np.zeros((12, 16), np.uint8))
    with pytest.raises(
        DataError, match=r"line 2 names the mask 'SegmentationClassAug/2008_000002.png', but there is no"
    ):
        open_dataset(voc, "train_aug")
    write_mask(voc / "SegmentationClassAug/2008_000002.png", np.zeros((12, 16), np.uint8))
    assert open_dataset(voc, "train_aug").has_masks
    file.write_text("/JPEGImages/../../x.jpg /SegmentationClassAug/x.png\n")
    with pytest.raises(DataError, match="leads out of the data folder"):
        open_dataset(voc, "train_aug")


def test_lists_in_main(voc: Path) -> None:
    main = voc / "ImageSets/Main"
    main.mkdir()
    (main / "trainval.txt").write_text("2007_000032\n2007_000033\n")
    (main / "train.txt").write_text("2007_000033\n")
    (main / "cat_train.txt").write_text("2007_000033 -1\n")
    assert splits(voc) == ("train", "val", "Main/train", "trainval")
    assert list(names(voc, "Main/train")) == ["2007_000033"]


def test_own_classes(voc: Path) -> None:
    (voc / "image_labels.csv").write_text("image,labels\n2007_000032,kite;crane\n2008_000002,kite\n")
    # Values of masks need an order of the classes: VOC's, unless another one is given.
    with pytest.raises(DataError, match=r"the class 'kite', which is none of the 20 .*list all classes in classes.txt"):
        open_dataset(voc, "train")
    (voc / "classes.txt").write_text("kite\ncrane\n")
    assert open_dataset(voc, "train").class_names == ("kite", "crane")
    assert open_dataset(voc, "train").records[0].classes == (0, 1)


@pytest.mark.parametrize("source", ["table", "annotations"])
def test_own_classes_without_masks(voc: Path, source: str) -> None:
    (voc / "SegmentationClass/2007_000032.png").unlink()
    (voc / "SegmentationClass").rmdir()
    if source == "table":
        (voc / "image_labels.csv").write_text("image,labels\n2007_000032,kite;crane\n2008_000002,kite\n")
    else:
        annotate(voc, "2007_000032", ("kite", ""), ("crane", ""))
        annotate(voc, "2007_000033", ("owl", ""))
        annotate(voc, "2008_000002", ("kite", ""))
    found = open_dataset(voc, "train")
    assert found.class_names == (("crane", "kite") if source == "table" else ("crane", "kite", "owl"))
    assert [record.classes for record in found.records] == [(0, 1), (1,)]


def test_without_lists_all_images_are_read(voc: Path) -> None:
    for file in (voc / "ImageSets/Segmentation").iterdir():
        file.unlink()
    assert len(open_dataset(voc)) == 3


def test_a_split_must_be_chosen(voc: Path) -> None:
    with pytest.raises(DataError, match=r"there are several splits: choose one \(train, val\)"):
        open_dataset(voc)
    assert len(open_dataset(voc.parent / voc.name, "val")) == 1


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("2009_000001", "line 1 names '2009_000001', but there is no such image"),
        ("2008_000009", "line 1 names '2008_000009', an image without label"),
        ("2008_000008", "line 1 has a broken annotation 2008_000008.xml"),
        ("2008_000007", "line 1 names the class 'brid', which is none of the 20 classes: did you mean 'bird'?"),
        ("2008_000006", "the file JPEGImages/2008_000006.jpg is empty"),
        ("2008_000005", "line 1 has a box without four numbers in 2008_000005.xml"),
        ("../x", "leads out of the data folder"),
    ],
)
def test_bad_lines(voc: Path, line: str, sentence: str) -> None:
    for number in range(5, 10):
        Image.new("RGB", (16, 12)).save(voc / f"JPEGImages/2008_00000{number}.jpg")
    (voc / "Annotations/2008_000008.xml").write_text("<annotation><object>")
    annotate(voc, "2008_000007", ("brid", ""))
    annotate(voc, "2008_000006", ("bird", ""))
    (voc / "JPEGImages/2008_000006.jpg").write_bytes(b"")
    annotate(voc, "2008_000005", ("bird", ""))
    file = voc / "Annotations/2008_000005.xml"
    file.write_text(file.read_text().replace("3.0", "left"))
    (voc / "ImageSets/Segmentation/train.txt").write_text(f"{line}\n2007_000032\n")
    with pytest.raises(DataError) as error:
        open_dataset(voc, "train")
    assert str(error.value).startswith(f"{voc / 'ImageSets/Segmentation/train.txt'}: ")
    assert sentence in str(error.value)
    assert list(names(voc, "train", skip_bad=True)) == ["2007_000032"]


def test_listed_twice(voc: Path) -> None:
    (voc / "ImageSets/Segmentation/val.txt").write_text("2007_000033\n2007_000033\n")
    with pytest.raises(DataError, match="the image is listed twice: remove one of the lines"):
        open_dataset(voc, "val")


def test_no_labels_at_all(voc: Path) -> None:
    for file in (voc / "Annotations").iterdir():
        file.unlink()
    (voc / "Annotations").rmdir()
    with pytest.raises(DataError, match=r"there are no labels: add image_labels.csv"):
        open_dataset(voc, "train")


def test_the_real_subset(shared: Path) -> None:
    root = shared / "data/voc12"
    assert splits(root) == ("train", "train_aug", "train_mini", "val", "val_mini")
    sizes = {"train": 491, "train_aug": 1363, "train_mini": 89, "val": 251, "val_mini": 58}
    for split, size in sizes.items():
        found = open_dataset(root, split)
        assert (len(found), len(found.class_names), found.left_out) == (size, 20, ())
        assert found.has_masks == (split != "train_aug")
    assert sum(record.mask is not None for record in open_dataset(root, "train_aug").records) == 491


def test_annotations_say_what_the_table_says(shared: Path, tmp_path: Path) -> None:
    """Where the subset has both, the annotations give the labels of the field's file."""
    root = shared / "data/voc12"
    for name in ("JPEGImages", "Annotations", "ImageSets"):
        (tmp_path / name).symlink_to(root / name)
    assert names(tmp_path, "train_mini") == names(root, "train_mini")
