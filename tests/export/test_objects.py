"""Objects that IRN found, one by one through every format that holds objects; objects and boxes of predictions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from run_folder import NAMES, SIZE, box_mask

import advcam
from advcam.data.masks import write_mask
from advcam.errors import RunError, SettingsError
from advcam.export.corrected import Corrected
from advcam.export.runs import from_brush, from_runs
from advcam.export.source import annotated, open_view
from advcam.export.write import FORMATS, write
from advcam.io.files import write_json
from advcam.refine.irn.objects import FoundObjects


@pytest.fixture
def objects(run: Path) -> list[np.ndarray]:
    """Two cats side by side in image 0, one with a hole; in sub/1 a dog, and what is too small to count."""
    numbers = np.zeros(SIZE, np.uint16)
    numbers[4:12, 2:10], numbers[6:20, 10:30] = 1, 2
    numbers[6:8, 4:7] = 0
    FoundObjects(numbers, np.array([0, 0]), np.array([0.9, 0.4], np.float32)).save(run / "instances/0.npz")
    small = np.zeros(SIZE, np.uint16)
    small[4:20, 5:17], small[0, 0] = 1, 2
    FoundObjects(small, np.array([1, 1]), np.array([0.5, 0.0], np.float32)).save(run / "instances/sub/1.npz")
    return [numbers == 1, numbers == 2]


def seen(path: Path, format: str) -> list[np.ndarray]:
    """The objects of image 0 as another reader than ours finds them."""
    if format == "coco":
        coco = COCO(str(path))
        return [coco.annToMask(entry) for entry in coco.loadAnns(coco.getAnnIds(imgIds=[1]))]
    if format == "cvat":
        found = []
        for mask in ElementTree.parse(path).getroot().findall("image")[0].findall("mask"):
            left, top, width, height = (int(mask.get(key, "")) for key in ("left", "top", "width", "height"))
            whole = np.zeros(SIZE, bool)
            lengths = [int(value) for value in mask.get("rle", "").split(",")]
            whole[top : top + height, left : left + width] = from_runs(lengths, width * height).reshape(height, width)
            found.append(whole)
        return found
    if format == "labelstudio":
        regions = json.loads(path.read_text())[0]["predictions"][0]["result"]
        return [from_brush(r["value"]["rle"], *SIZE) > 0 for r in regions if r["type"] == "brushlabels"]
    if format in ("voc", "cvat-masks"):
        numbers = np.asarray(Image.open(path / "SegmentationObject/0.png"))
        return [numbers == number for number in range(1, numbers.max() + 1)]
    if format == "labelme":
        shapes = json.loads((path / "0.json").read_text())["shapes"]
        return [np.zeros(SIZE, bool) for _ in {shape["group_id"] for shape in shapes}]
    lines = (path.parent / "labels/0.txt").read_text().splitlines()
    return [np.zeros(SIZE, bool) for _ in lines]


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "png"])
def test_each_object_comes_out_by_itself(name: str, run: Path, objects: list[np.ndarray], tmp_path: Path) -> None:
    found = annotated(open_view(run), "instances")
    assert found.ids == ("0", "sub/1")
    path = write(found, tmp_path / name, name)
    own = seen(path, name)
    if name in ("labelme", "yolo-seg"):
        # One with a hole is cut into four for YOLO, and one picture for labelme.
        assert len(own) == {"labelme": 2, "yolo-seg": 5}[name]
    else:
        assert [mask.tolist() for mask in own] == [mask.tolist() for mask in objects]
    back = advcam.export.read(path, NAMES)
    assert (back["0"] == (objects[0] | objects[1])).all()
    # What is too small to count stays behind.
    assert (back["sub/1"] == box_mask(1)).all()


def test_corrections_cut_objects_and_add_new_ones(run: Path, objects: list[np.ndarray], tmp_path: Path) -> None:
    mask = objects[0].astype(np.uint8)
    mask[-2:, -2:], mask[0, -1] = 1, 2
    Corrected(run).keep("0", mask)
    coco = COCO(str(write(annotated(open_view(run), "instances"), tmp_path, "coco")))
    own = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert [(entry["category_id"], int(entry["area"])) for entry in own] == [(1, int(objects[0].sum())), (1, 4), (2, 1)]


def test_predictions_have_the_parts_of_a_class_as_objects_and_boxes(run: Path, tmp_path: Path) -> None:
    mask = np.zeros(SIZE, np.uint8)
    mask[2:4, 2:6], mask[10:12, 20:22], mask[20:23, 3:4] = 1, 1, 2
    write_mask(tmp_path / "predictions/masks/0.png", mask)
    write_json(tmp_path / "predictions/predict.json", {"classes": NAMES})
    view = open_view(tmp_path / "predictions", run.parent / "photos")
    for what in ("instances", "boxes"):
        coco = COCO(str(write(annotated(view, what), tmp_path / what, "coco")))
        own = coco.loadAnns(coco.getAnnIds())
        assert [(a["category_id"], a["bbox"]) for a in own] == [
            (1, [2, 2, 4, 2]), (1, [20, 10, 2, 2]), (2, [3, 20, 1, 3]),
        ]  # fmt: skip


def test_what_a_format_cannot_hold_is_refused(run: Path, objects: list[np.ndarray], tmp_path: Path) -> None:
    view = open_view(run)
    with pytest.raises(SettingsError, match="png cannot hold instances: take one of coco, cvat, cvat-masks"):
        write(annotated(view, "instances"), tmp_path, "png")
    (run / "boxes.csv").write_text("image,class,score,x0,y0,x1,y1\n")
    with pytest.raises(SettingsError, match="cvat-masks cannot hold boxes"):
        write(annotated(view, "boxes"), tmp_path, "cvat-masks")
    shutil.rmtree(run / "instances")
    with pytest.raises(RunError, match="no instances of its images"):
        annotated(view, "instances")
