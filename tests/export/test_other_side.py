"""Round trips against the programs on the other side, which `make test-formats` installs; else they are skipped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from advcam.export import write
from advcam.export.contours import paint
from advcam.export.item import Annotated
from advcam.export.runs import brush_runs, from_brush
from advcam.localize.detection import Detection, coco_boxes

pytestmark = pytest.mark.formats
NAMES = ("cat & dog", "wild <boar>", "größe")
Labels = dict[str, np.ndarray]


def painted(size: tuple[int, int], masks: list[tuple[int, np.ndarray]]) -> np.ndarray:
    found = np.zeros(size, np.uint8)
    for label, mask in masks:
        found[np.asarray(mask, bool)] = label
    return found


def test_pycocotools_reads_the_same_masks(annotated: Annotated, labels: Labels, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed: make test-formats")
    found = coco.COCO(str(write(annotated, tmp_path, "coco")))
    for image in found.loadImgs(found.getImgIds()):
        own = found.loadAnns(found.getAnnIds(imgIds=image["id"]))
        masks = [(entry["category_id"], found.annToMask(entry)) for entry in own]
        expected = labels[image["file_name"].removesuffix(".jpg")]
        assert (painted(expected.shape, masks) == expected).all()
        assert [entry["area"] for entry in own] == [int(mask.sum()) for _, mask in masks]


@pytest.mark.parametrize(
    ("name", "format"),
    [("coco", "coco_instances"), ("cvat", "cvat"), ("cvat-masks", "voc_segmentation"), ("voc", "voc_segmentation")],
)
def test_datumaro_reads_the_same_masks(
    name: str, format: str, annotated: Annotated, labels: Labels, tmp_path: Path
) -> None:
    datumaro = pytest.importorskip("datumaro", reason="datumaro is not installed: make test-formats")
    path = write(annotated, tmp_path / "out", name, pictures=True)
    root = path if format == "cvat" else tmp_path / "out"
    found = datumaro.Dataset.import_from(str(root), format)
    names = [label.name for label in found.categories()[datumaro.AnnotationType.label]]
    seen = {}
    for item in found:
        masks = []
        for entry in item.annotations:
            label = NAMES.index(names[entry.label]) + 1 if names[entry.label] in NAMES else 0
            if entry.type == datumaro.AnnotationType.mask:
                masks.append((label, entry.image))
            elif entry.type == datumaro.AnnotationType.polygon:
                masks.append((label, paint([np.asarray(entry.points).reshape(-1, 2)], labels["a"].shape)))
        # Objects that overlap nowhere: the order does not matter.
        seen[item.id] = painted(labels["a"].shape, masks)
    assert set(seen) == set(labels)
    for key, expected in labels.items():
        assert (seen[key] == expected).all(), key


def test_a_stream_of_datumaro_reads_masks_and_boxes(annotated: Annotated, tmp_path: Path) -> None:
    datumaro = pytest.importorskip("datumaro", reason="datumaro is not installed: make test-formats")
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed: make test-formats")
    write(annotated, tmp_path / "masks", "coco", pictures=True)
    assert len(list(datumaro.StreamDataset.import_from(str(tmp_path / "masks"), "coco_instances"))) == 3
    boxes = [Detection("a", NAMES[1], 0.5, (3, 2, 15, 12))]
    content = coco_boxes([("a", "a.jpg", (24, 31))], NAMES, boxes)
    file = tmp_path / "boxes" / "annotations" / "instances_default.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(content))
    (tmp_path / "boxes" / "images").mkdir()
    Image.new("RGB", (31, 24)).save(tmp_path / "boxes" / "images" / "a.jpg")
    (item,) = datumaro.StreamDataset.import_from(str(tmp_path / "boxes"), "coco_instances")
    assert {entry.label for entry in item.annotations} == {1}
    found = coco.COCO(str(file))
    assert found.annToMask(found.loadAnns([1])[0]).sum() == 120


def test_label_studio_decodes_the_same_masks(annotated: Annotated, labels: Labels, tmp_path: Path) -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush", reason="label-studio-sdk is not installed")
    from label_studio_sdk.label_interface import LabelInterface

    path = write(annotated, tmp_path, "labelstudio")
    interface = LabelInterface(path.with_name("label_config.xml").read_text())
    for task in json.loads(path.read_text()):
        (prediction,) = task["predictions"]
        assert interface.validate_prediction(prediction, return_errors=True) == []
        masks = []
        for region in prediction["result"]:
            if region["type"] == "brushlabels":
                size = (region["original_height"], region["original_width"])
                alpha = brush.decode_rle(region["value"]["rle"]).reshape(*size, 4)[..., 3]
                masks.append((NAMES.index(region["value"]["brushlabels"][0]) + 1, alpha == 255))
        expected = labels[task["data"]["advcam_id"]]
        assert (painted(expected.shape, masks) == expected).all()


def test_the_brush_is_packed_as_label_studio_packs_it(labels: Labels) -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush", reason="label-studio-sdk is not installed")
    for mask in (labels["a"] == 1, labels["sub/b.v2"] == 2, np.ones((200, 300), bool)):
        expected = brush.encode_rle(np.repeat(mask.ravel().astype(np.uint8) * 255, 4))
        assert brush_runs(mask) == expected


def test_a_brush_of_label_studio_is_read(labels: Labels) -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush", reason="label-studio-sdk is not installed")
    mask = labels["sub/b.v2"] == 2
    # Its page writes the colour of the brush, and single values unpacked.
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[mask] = (12, 200, 7, 255)
    assert ((from_brush(brush.encode_rle(pixels.ravel()), *mask.shape) == 255) == mask).all()


def test_supervision_reads_the_same_masks(annotated: Annotated, labels: Labels, tmp_path: Path) -> None:
    supervision = pytest.importorskip("supervision", reason="supervision is not installed: make test-formats")
    path = write(annotated, tmp_path, "yolo-seg")
    checked = 0
    # It does not look into sub-folders.
    for folder in ("", "sub"):
        found = supervision.DetectionDataset.from_yolo(
            images_directory_path=str(tmp_path / "images" / folder),
            annotations_directory_path=str(tmp_path / "labels" / folder),
            data_yaml_path=str(path),
            force_masks=True,
        )
        assert tuple(found.classes) == NAMES
        for file, _, detections in found:
            key = Path(file).relative_to(tmp_path / "images").with_suffix("").as_posix()
            pairs = zip(detections.class_id, detections.mask, strict=True) if len(detections) else ()
            masks = [(int(number) + 1, mask) for number, mask in pairs]
            assert (painted(labels[key].shape, masks) == labels[key]).all(), key
            checked += 1
    assert checked == len(labels)


def test_labelme_draws_the_same_polygons(annotated: Annotated, labels: Labels, tmp_path: Path) -> None:
    """As labelme's ``shape_to_mask`` draws them, with Pillow."""
    out = write(annotated, tmp_path, "labelme")
    content = json.loads((out / "a.json").read_text())
    masks = []
    for shape in content["shapes"]:
        if shape["shape_type"] != "polygon":
            continue
        canvas = Image.new("L", (content["imageWidth"], content["imageHeight"]))
        ImageDraw.Draw(canvas).polygon([tuple(point) for point in shape["points"]], outline=1, fill=1)
        masks.append((NAMES.index(shape["label"]) + 1, np.asarray(canvas)))
    found = painted(labels["a"].shape, masks)
    # The dot in the hole is one pixel, which is no polygon; the ring and the lines are none either.
    assert (found == 2).sum() == 18
    assert (labels["a"][found == 2] == 2).all()
