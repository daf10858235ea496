"""Every format written and read again gives the same pixels; the traps of each are avoided."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from advcam.errors import DataError, SettingsError
from advcam.export import read, write
from advcam.export.item import Annotated
from advcam.export.write import FORMATS

NAMES = ("cat & dog", "wild <boar>", "größe")


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_pixels_come_back(
    name: str, annotated: Annotated, labels: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = write(annotated, tmp_path / "out", name)
    found = read(path, NAMES)
    assert {key: mask.tolist() for key, mask in found.items()} == {k: v.tolist() for k, v in labels.items()}
    # The order of the classes comes from the file where nobody says it; labelme has none, so there it is alphabetical.
    assert read(path).class_names == (NAMES if name != "labelme" else tuple(sorted(NAMES)))


@pytest.mark.parametrize("name", ["cvat", "cvat-masks", "labelstudio", "coco"])
def test_an_archive_is_read_as_its_folder(
    name: str, annotated: Annotated, labels: dict[str, np.ndarray], tmp_path: Path
) -> None:
    write(annotated, tmp_path / "out", name)
    archive = tmp_path / "out.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for file in sorted((tmp_path / "out").rglob("*")):
            opened.write(file, file.relative_to(tmp_path / "out"))
    found = read(archive, NAMES)
    assert (found["a"] == labels["a"]).all()


def test_coco_counts_categories_from_one_and_packs_what_has_holes(annotated: Annotated, tmp_path: Path) -> None:
    content = json.loads(write(annotated, tmp_path, "coco").read_text())
    assert [category["id"] for category in content["categories"]] == [1, 2, 3]
    first = [entry for entry in content["annotations"] if entry["image_id"] == 1]
    assert [type(entry["segmentation"]) for entry in first] == [dict, list, list]
    assert first[0] | {"segmentation": 0} == {
        "id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [3, 2, 28, 22], "area": 109,
        "segmentation": 0, "score": 0.75,
    }  # fmt: skip
    # Two squares that touch at a corner stay two, and the dot in the hole is a third.
    assert sorted(len(ring) for ring in first[1]["segmentation"]) == [8, 8, 8]


def test_cvat_has_its_runs_along_the_rows_zeros_first(annotated: Annotated, tmp_path: Path) -> None:
    root = ElementTree.parse(write(annotated, tmp_path, "cvat")).getroot()
    masks = root.findall("image")[0].findall("mask")
    line = next(mask for mask in masks if mask.get("label") == "größe")
    assert (line.get("left"), line.get("top"), line.get("width"), line.get("height")) == ("2", "1", "28", "21")
    assert line.get("rle", "").startswith("27, 1, 27, 1")
    assert [tag.get("label") for tag in root.findall("image")[0].findall("tag")] == list(NAMES)


def test_masks_for_cvat_have_objects_and_no_255(annotated: Annotated, tmp_path: Path) -> None:
    from PIL import Image

    whole = annotated.load("a")
    ignored = np.zeros(whole.size, bool)
    ignored[:, -1] = True
    some = replace(annotated, ids=("a",), load=lambda _: replace(whole, ignored=ignored))
    out = write(some, tmp_path / "cvat", "cvat-masks")
    assert np.asarray(Image.open(out / "SegmentationClass/a.png")).max() == 3
    assert np.unique(np.asarray(Image.open(out / "SegmentationObject/a.png"))).tolist() == [0, 1, 2, 3]
    assert "ignored" not in (out / "labelmap.txt").read_text()
    voc = write(some, tmp_path / "voc", "voc")
    assert (voc / "labelmap.txt").read_text().splitlines()[-1] == "ignored:224,224,192::"
    assert (read(voc, NAMES)["a"][:, -1] == 255).all()


def test_label_studio_gets_the_doubt_and_says_what_was_annotated(annotated: Annotated, tmp_path: Path) -> None:
    path = write(annotated, tmp_path, "labelstudio")
    tasks = json.loads(path.read_text())
    assert [task["predictions"][0]["score"] for task in tasks] == [0.75] * 3
    assert read(path).untouched == {"a", "sub/b.v2", "sub/empty"}
    # A person has corrected the first: one brush is left, and the label with it.
    kept = [region for region in tasks[0]["predictions"][0]["result"] if region["id"] == "m1"]
    tasks[0]["annotations"] = [{"result": [], "was_cancelled": True}, {"result": kept}]
    path.write_text(json.dumps(tasks))
    found = read(path, NAMES)
    assert "a" not in found.untouched
    assert np.unique(found["a"]).tolist() == [0, 2]


def test_yolo_cuts_what_has_holes(annotated: Annotated, tmp_path: Path) -> None:
    path = write(annotated, tmp_path, "yolo-seg")
    lines = (path.parent / "labels/a.txt").read_text().splitlines()
    # The ring falls into two sides, above and below the cut; the dot in the corner is one more.
    assert [line.split()[0] for line in lines].count("0") == 5
    assert all(len(line.split()) >= 7 for line in lines)


def test_boxes_go_where_the_format_has_them(annotated: Annotated, tmp_path: Path) -> None:
    from advcam.export.item import Shape

    boxed = replace(annotated.load("a"), shapes=(Shape(1, box=(3.0, 2.0, 15.0, 12.0), score=0.5),))
    some = replace(annotated, ids=("a",), load=lambda _: boxed)
    coco = json.loads(write(some, tmp_path / "coco", "coco").read_text())
    assert coco["annotations"][0]["bbox"] == [3, 2, 12, 10]
    cvat = ElementTree.parse(write(some, tmp_path / "cvat", "cvat")).getroot().find("image/box")
    assert cvat is not None
    assert [cvat.get(key) for key in ("xtl", "ytl", "xbr", "ybr")] == ["3.00", "2.00", "15.00", "12.00"]
    voc = write(some, tmp_path / "voc", "voc")
    sides = ElementTree.parse(voc / "Annotations/a.xml").getroot().find("object/bndbox")
    assert sides is not None
    assert [side.text for side in sides] == ["4", "3", "15", "12"]
    line = (write(some, tmp_path / "yolo", "yolo-seg").parent / "labels/a.txt").read_text().split()
    assert [round(float(value) * size) for value, size in zip(line[1:], (31, 24, 31, 24), strict=True)] == [
        9,
        7,
        12,
        10,
    ]


def test_what_cannot_be_read_is_named(annotated: Annotated, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="yolo-seg"):
        write(annotated, tmp_path, "yolo")
    with pytest.raises(DataError, match="none of horse"):
        read(write(annotated, tmp_path / "coco", "coco"), ("horse",))
    entities = tmp_path / "bomb.xml"
    entities.write_text('<!DOCTYPE a [<!ENTITY b "ha">]><annotations>&b;</annotations>')
    with pytest.raises(DataError, match="document type"):
        read(entities)
    outside = tmp_path / "outside.json"
    outside.write_text(
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "../../etc/passwd.jpg", "height": 2, "width": 2}],
                "annotations": [],
                "categories": [{"id": 1, "name": "cat"}],
            }
        )
    )
    with pytest.raises(DataError, match="leads out of"):
        read(outside)
    huge = json.loads((tmp_path / "outside.json").read_text())
    huge["images"][0] |= {"file_name": "a.jpg", "height": 10**6, "width": 10**6}
    outside.write_text(json.dumps(huge))
    with pytest.raises(DataError, match="no size"):
        read(outside)
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "nothing")
