"""Classes that appear, vanish or move, and what lies there and is not used."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.data import open_dataset, read_mask
from advcam.data.check import check_dataset, examine_dataset
from advcam.data.listing import list_images
from advcam.errors import DataError

SQUARE = [[1, 1, 6, 1, 6, 6, 1, 6]]


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 12), (90, 90, 200)).save(root / name)


def one_hot(root: Path, cell: str) -> None:
    put(root, *(f"{i}.png" for i in range(6)))
    rows = [f"{i}.png,{int(i % 3 == 0)},{int(i % 3 == 1)},{int(i % 3 == 2)}" for i in range(6)]
    rows[0] = f"0.png,1,0,{cell}"
    (root / "labels.csv").write_text("\n".join(["image,cat,dog,bird", *rows]))


@pytest.mark.parametrize("cell", ["-1", "nan", "U", "unsure", "-1.0"])
def test_not_known_is_not_no(tmp_path: Path, cell: str) -> None:
    one_hot(tmp_path, cell)
    with pytest.raises(DataError, match=f"line 2 has '{cell}' \\(not known\\) in the column 'bird'"):
        open_dataset(tmp_path)
    found = open_dataset(tmp_path, skip_bad=True)
    assert found.class_names == ("cat", "dog", "bird")
    assert [record.classes for record in found.records] == [(1,), (2,), (0,), (1,), (2,)]


@pytest.mark.parametrize("cell", ["2", "O", "yes", "0.5"])
def test_a_class_column_with_something_else(tmp_path: Path, cell: str) -> None:
    one_hot(tmp_path, cell)
    with pytest.raises(DataError, match=f"line 2 has '{cell}' in the column 'bird', which else holds 0 and 1"):
        open_dataset(tmp_path, skip_bad=True)


def test_columns_that_are_not_used_are_told_of(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png")
    (tmp_path / "labels.csv").write_text("image,cat,dog,age,site\na.png,1,0,34,north\nb.png,0,1,51,south\n")
    found = open_dataset(tmp_path)
    assert found.class_names == ("cat", "dog")
    assert [notice.message for notice in found.notices] == ["not used: the columns age, site"]


@pytest.mark.parametrize("cell", ["\"['cat', 'dog']\"", '"[""cat"", ""dog""]"', "\"['cat' 'dog']\"", '"[cat, dog]"'])
def test_lists_written_as_text(tmp_path: Path, cell: str) -> None:
    put(tmp_path, "a.png", "b.png")
    (tmp_path / "labels.csv").write_text(f"image,labels\na.png,{cell}\nb.png,dog\n")
    found = open_dataset(tmp_path)
    assert found.class_names == ("cat", "dog")
    assert found.records[0].classes == (0, 1)


def test_a_label_beside_background(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png")
    (tmp_path / "labels.csv").write_text("image,labels\na.png,cat;background\nb.png,dog\n")
    with pytest.raises(DataError, match="line 2 names 'background' beside 'cat'"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("extra", ["test/0.png", "__MACOSX/0.png", "docs/figure.png"])
def test_what_lies_beside_splits_is_no_class(tmp_path: Path, extra: str) -> None:
    put(tmp_path, *(f"{split}/{name}/{i}.png" for split in ("train", "val") for name in ("cat", "dog") for i in "01"))
    put(tmp_path, extra)
    found = open_dataset(tmp_path)
    assert found.class_names == ("cat", "dog")
    assert len(found) == 8
    if not extra.startswith("__"):
        assert any(str(notice.file).endswith(extra.partition("/")[0]) for notice in found.notices)


def test_one_split_beside_something_else_is_not_guessed(tmp_path: Path) -> None:
    put(tmp_path, "train/cat/0.png", "train/dog/0.png", "docs/0.png")
    with pytest.raises(DataError, match="train may be a split or a class"):
        open_dataset(tmp_path)


def test_a_class_folder_with_a_manifest_stays(tmp_path: Path) -> None:
    put(tmp_path, "cat/0.png", "dog/0.png")
    (tmp_path / "cat/manifest.json").write_text('{"name": "an app"}')
    assert open_dataset(tmp_path).class_names == ("cat", "dog")


def test_splits_are_no_classes(tmp_path: Path) -> None:
    put(tmp_path, *(f"{split}/{i}.png" for split in ("train", "val", "test") for i in range(3)))
    with pytest.raises(DataError, match="would be called test, train, val, which are names of splits"):
        open_dataset(tmp_path, skip_bad=True)
    assert check_dataset(tmp_path)


def coco(root: Path, change: dict[str, object] | None = None, **images: object) -> Path:
    put(root, "train/a.png", "train/b.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png"} | images, {"id": 2, "file_name": "b.png"}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "background"}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "segmentation": SQUARE},
            {"image_id": 1, "category_id": 1, "bbox": [8, 2, 4, 4], "segmentation": SQUARE} | (change or {}),
        ],
    }
    for image in content["images"]:
        image.update(height=12, width=16)
    (root / "annotations").mkdir()
    (root / "annotations/train.json").write_text(json.dumps(content))
    return root


def test_a_degenerate_outline_costs_only_its_box(tmp_path: Path) -> None:
    found = open_dataset(coco(tmp_path, {"segmentation": [[8, 2, 12, 6]]}))
    mask = read_mask(found.records[0])
    assert (mask == 1).sum() == 25
    assert (mask[2:6, 8:12] == 255).all()
    assert "1 objects have outlines of less than three corners" in found.notices[0].message
    assert found.class_names == ("cat",)


@pytest.mark.parametrize("shape", ["abc", {"a": 1}, [1, 2, 3], [[1, 1, 2, 2, 3, "x"]], [[0.0] * 400_000]])
def test_shapes_that_are_none(tmp_path: Path, shape: object) -> None:
    coco(tmp_path, {"segmentation": shape})
    with pytest.raises(DataError, match="has a shape or a box that is not made of numbers"):
        open_dataset(tmp_path)


def test_two_images_with_one_number(tmp_path: Path) -> None:
    coco(tmp_path)
    file = tmp_path / "annotations/train.json"
    file.write_text(file.read_text().replace('"id": 2, "file_name"', '"id": 1, "file_name"'))
    assert sum("shares its number with another image" in str(problem) for problem in check_dataset(tmp_path)) == 2


def test_xml_objects_without_a_name(tmp_path: Path) -> None:
    put(tmp_path, "JPEGImages/a.png", "JPEGImages/b.png")
    (tmp_path / "Annotations").mkdir()
    for name, inner in (("a", "<name>cat</name>"), ("b", "")):
        xml = f"<annotation><object>{inner}</object></annotation>"
        (tmp_path / f"Annotations/{name}.xml").write_text(xml)
    found = open_dataset(tmp_path, skip_bad=True)
    assert "" not in found.class_names
    assert "has an object without a name in b.xml" in str(found.left_out[0])


def test_the_two_ways_to_store_accents(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        put(tmp_path, unicodedata.normalize(form, "é.png"))
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system holds both names for one")
    assert "differs from" in list_images(tmp_path).problems[0].message


def test_a_tree_of_links_ends(tmp_path: Path) -> None:
    for level in range(17):
        (tmp_path / f"store/{level}").mkdir(parents=True)
        for name in "ab" if level < 16 else ():
            (tmp_path / f"store/{level}/{name}").symlink_to(tmp_path / f"store/{level + 1}", target_is_directory=True)
    put(tmp_path, "data/x.png")
    (tmp_path / "data/tree").symlink_to(tmp_path / "store/0", target_is_directory=True)
    listing = list_images(tmp_path / "data")
    assert "x" in listing.ids
    assert any("in many ways" in problem.message for problem in listing.problems)


def test_a_hundred_thousand_classes(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    (tmp_path / "labels.csv").write_text("image,labels\na.png,n5\n")
    (tmp_path / "classes.txt").write_text("\n".join(f"n{i}" for i in range(100_000)))
    with pytest.raises(DataError, match="there are 100000 classes"):
        open_dataset(tmp_path)


def test_the_doctor_sees_what_looks_odd(tmp_path: Path) -> None:
    dark = np.full((12, 16), 4000, np.uint16)
    (tmp_path / "d").mkdir()
    for i in range(6):
        Image.fromarray(dark).save(tmp_path / f"d/{i}.png")
    (tmp_path / "d/labels.csv").write_text("image,labels\n" + "".join(f"{i}.png,7\n" for i in range(6)))
    found = examine_dataset(tmp_path / "d")
    assert found.problems == ()
    text = "\n".join(str(notice) for notice in found.notices)
    assert "7 is the only class and every image shows it" in text
    assert "the classes are numbers only" in text
    assert "12-bit values in 16-bit files stay so" in text


def test_boxes_count_with_labels_from_elsewhere(tmp_path: Path) -> None:
    put(tmp_path, "data/a.png", "data/b.png")
    (tmp_path / "mine.csv").write_text("image,labels,split\na.png,cat,train\nb.png,dog,val\n")
    (tmp_path / "data/boxes.csv").write_text("image,x0,y0,x1,y1\na.png,1,1,5,5\nb.png,1,1,6,6\n")
    assert open_dataset(tmp_path / "data", "train", labels=tmp_path / "mine.csv").records[0].boxes
    (tmp_path / "data/boxes.csv").write_text("image,x0,y0,x1,y1\nc.png,1,1,5,5\n")
    with pytest.raises(DataError, match="names 'c', which is no image"):
        open_dataset(tmp_path / "data", "train", labels=tmp_path / "mine.csv")


def test_a_class_that_may_be_none(tmp_path: Path) -> None:
    put(tmp_path, *(f"{name}/{i}.png" for name in ("good", "scratch", "No") for i in range(5)))
    notices = [str(notice) for notice in examine_dataset(tmp_path).notices]
    assert any("No, good may stand for none of the classes: label such images background" in text for text in notices)
