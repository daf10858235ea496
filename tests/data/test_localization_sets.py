"""CUB-200-2011 and ImageNet as they are distributed, and boxes.csv beside any folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from advcam.data import Box, check_dataset, open_dataset, splits
from advcam.errors import DataError


def picture(path: Path, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


@pytest.fixture
def cub(tmp_path: Path) -> Path:
    root = tmp_path / "CUB_200_2011"
    names = ["001.Albatross/a.jpg", "001.Albatross/b.jpg", "002.Auklet/c.jpg"]
    for name in names:
        picture(root / "images" / name)
    lists = {
        "images.txt": names,
        "image_class_labels.txt": ["1", "1", "2"],
        "train_test_split.txt": ["1", "0", "0"],
        "bounding_boxes.txt": ["1.0 2.0 10.0 20.0", "4.0 5.0 36.0 25.0", "0.0 0.0 8.0 8.0"],
    }
    for file, values in lists.items():
        (root / file).write_text("\n".join(f"{number} {value}" for number, value in enumerate(values, 1)) + "\n")
    (root / "classes.txt").write_text("1 001.Albatross\n2 002.Auklet\n")
    return tmp_path


def test_cub(cub: Path) -> None:
    assert splits(cub) == ("test", "train")
    found = open_dataset(cub, "test")
    assert (found.format, found.class_names) == ("CUB-200-2011", ("001.Albatross", "002.Auklet"))
    first, second = found.records
    assert (first.id, first.classes, second.classes) == ("001.Albatross/b", (0,), (1,))
    # x + w = 40 and y + h = 30 lie beyond the last pixel, as the benchmark counts.
    assert first.boxes == (Box(0, 4, 5, 39, 29),)
    assert [record.id for record in open_dataset(cub / "CUB_200_2011", "train").records] == ["001.Albatross/a"]


def test_cub_says_when_it_is_not_whole(cub: Path) -> None:
    (problem,) = check_dataset(cub)
    assert "2 classes, 1 training and 2 test images" in problem.message
    assert "MD5" in problem.message
    (cub / "CUB_200_2011/bounding_boxes.txt").write_text("1 1 2 3 4\n2 1 2 3\n3 1 2 3 4\n")
    with pytest.raises(DataError, match=r"image 2 names '001.Albatross/b.jpg', an image without four numbers"):
        open_dataset(cub, "test")
    (cub / "CUB_200_2011/image_class_labels.txt").write_text("1 1\n2 9\n3 2\n")
    with pytest.raises(DataError, match=r"whose class '9' is no number from 1 to 2"):
        open_dataset(cub, "test")


ANNOTATION = """<annotation><object><name>{wnid}</name><bndbox><xmin>3</xmin><ymin>4</ymin><xmax>40</xmax>
<ymax>20</ymax></bndbox></object></annotation>"""


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    root = tmp_path / "ILSVRC"
    for wnid in ("n02", "n01"):
        picture(root / f"Data/CLS-LOC/train/{wnid}/{wnid}_7.JPEG")
    picture(root / "Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG")
    path = root / "Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml"
    path.parent.mkdir(parents=True)
    path.write_text(ANNOTATION.format(wnid="n02"))
    (tmp_path / "LOC_synset_mapping.txt").write_text("n01 crane, bird\nn02 crane\n")
    return tmp_path


def test_imagenet(imagenet: Path) -> None:
    found = open_dataset(imagenet, "val")
    assert (found.format, found.class_names) == ("ImageNet (ILSVRC)", ("crane (n01)", "crane (n02)"))
    (record,) = found.records
    assert (record.id, record.classes, record.boxes) == ("ILSVRC2012_val_00000001", (1,), (Box(1, 3, 4, 39, 20),))
    train = open_dataset(imagenet / "ILSVRC", "train")
    assert [(record.id, record.classes) for record in train.records] == [("n01/n01_7", (0,)), ("n02/n02_7", (1,))]
    assert "2 classes, 2 training and 1 validation images" in check_dataset(imagenet)[0].message


def test_imagenet_without_annotation(imagenet: Path) -> None:
    next(imagenet.rglob("*.xml")).unlink()
    with pytest.raises(DataError, match=r"has no annotation Annotations/CLS-LOC/val"):
        open_dataset(imagenet, "val")


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name in ("cat/1.jpg", "dog/2.jpg"):
        picture(tmp_path / name)
    lines = ["image,class,score,x0,y0,x1,y1", "cat/1,cat,0.9,1,2,30,20", "dog/2.jpg,,0.5,0,0,9,9"]
    (tmp_path / "boxes.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_boxes_beside_class_folders(folders: Path) -> None:
    found = open_dataset(folders)
    assert found.format == "one folder for each class, with boxes"
    assert [record.boxes for record in found.records] == [(Box(0, 1, 2, 30, 20),), (Box(1, 0, 0, 9, 9),)]


def test_boxes_beside_a_table(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    picture(tmp_path / "b.jpg")
    (tmp_path / "labels.csv").write_text("image,labels\na.jpg,cat;dog\nb.jpg,cat\n")
    (tmp_path / "boxes.csv").write_text("image,class,x0,y0,x1,y1\na.jpg,dog,1,1,5,5\n")
    assert [record.boxes for record in open_dataset(tmp_path).records] == [(Box(1, 1, 1, 5, 5),), None]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("cat/1,cat,9,2,1,20", "line 2 has swapped corners"),
        ("cat/1,cow,1,2,3,4", "names the class 'cow', which the data set does not have"),
        ("cat/1,cat,1,2,3,x", "a corner that is no finite number"),
        ("cow/1,cat,1,2,3,4", "names 'cow/1', which is no image of the data set"),
    ],
)
def test_bad_boxes(folders: Path, line: str, sentence: str) -> None:
    (folders / "boxes.csv").write_text(f"image,class,x0,y0,x1,y1\n{line}\n")
    with pytest.raises(DataError, match=sentence):
        open_dataset(folders)


def test_a_box_table_without_columns(folders: Path) -> None:
    (folders / "boxes.csv").write_text("name,box\ncat/1,1\n")
    with pytest.raises(DataError, match="there is no column 'image'"):
        open_dataset(folders)
