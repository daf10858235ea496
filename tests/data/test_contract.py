"""Every reader against every fault: what is wrong is named, what is right is read, and no class appears or moves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.data import check_dataset, leave_out_unreadable, open_dataset, write_mask
from advcam.data.record import ImageSet

H, W = 12, 16


@dataclass(frozen=True)
class Entry:
    """A picture on disk, how the lists write its name, and the label they give it."""

    file: str
    label: str
    written: str = ""

    @property
    def name(self) -> str:
        return self.written or self.file


SOUND = [Entry("in/a.jpg", "cat"), Entry("in/b.jpg", "dog"), Entry("in/c.jpg", "cat")]


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (W, H), (200, 30, 60)).save(path)


def number(label: str) -> str:
    return str({"cat": 0, "dog": 1}.get(label, 9)) if label else ""


def table(root: Path, entries: list[Entry]) -> None:
    for entry in entries:
        put(root / entry.file)
    (root / "labels.csv").write_text("image,labels\n" + "".join(f"{e.name},{e.label}\n" for e in entries))


def json_lines(root: Path, entries: list[Entry]) -> None:
    for entry in entries:
        put(root / entry.file)
    lines = [{"file_name": e.name, "labels": [e.label] if e.label else None} for e in entries]
    (root / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def boxes(root: Path, entries: list[Entry]) -> None:
    table(root, entries)
    rows = "".join(f"{e.name},1,1,9,9\n" for e in dict.fromkeys(entries) if e.label in ("cat", "dog"))
    (root / "boxes.csv").write_text("image,x0,y0,x1,y1\n" + rows)


def voc(root: Path, entries: list[Entry]) -> None:
    for entry in entries:
        put(root / "JPEGImages" / entry.file)
    (root / "image_labels.csv").write_text("image,labels\n" + "".join(f"{e.name},{e.label}\n" for e in entries))
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/train.txt").write_text("".join(f"{e.name}\n" for e in entries))


def coco(root: Path, entries: list[Entry]) -> None:
    for entry in entries:
        put(root / "train" / entry.file)
    ids = {"cat": 1, "dog": 2, "background": 3}
    content = {
        "images": [{"id": i, "file_name": e.name, "height": H, "width": W} for i, e in enumerate(entries, 1)],
        "categories": [{"id": i, "name": n} for n, i in ids.items() if n != "background" or uses(entries, n)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": ids.get(e.label, 9), "bbox": [1, 1, 5, 5], "segmentation": SQUARE}
            for i, e in enumerate(entries, 1)
            if e.label
        ],
    }
    (root / "annotations").mkdir()
    (root / "annotations/instances_train.json").write_text(json.dumps(content))


SQUARE = [[1, 1, 6, 1, 6, 6, 1, 6]]


def uses(entries: list[Entry], label: str) -> bool:
    return any(entry.label == label for entry in entries)


def wsol(root: Path, entries: list[Entry], truth: str = "{name},1,1,9,9\n") -> None:
    for entry in entries:
        put(root / entry.file)
    (root / "train").mkdir()
    (root / "classes.txt").write_text("cat\ndog\n")
    (root / "train/image_ids.txt").write_text("".join(f"{e.name}\n" for e in entries))
    (root / "train/class_labels.txt").write_text("".join(f"{e.name},{number(e.label)}\n" for e in entries if e.label))
    (root / "train/localization.txt").write_text("".join(truth.format(name=e.name) for e in entries))


def openimages(root: Path, entries: list[Entry]) -> None:
    (root / "masks").mkdir()
    Image.fromarray(np.full((H, W), 255, np.uint8)).save(root / "masks/m.png")
    wsol(root, entries, truth="{name},m.png,\n")


def class_folders(root: Path, entries: list[Entry]) -> None:
    for entry in entries:
        put(root / (entry.label or ".") / Path(entry.file).name)


def cub(root: Path, entries: list[Entry]) -> None:
    for entry in entries:
        put(root / "images" / entry.file)
    lines = {
        "images.txt": [e.name for e in entries],
        "image_class_labels.txt": [str(int(number(e.label) or 8) + 1) for e in entries],
        "train_test_split.txt": ["1" for _ in entries],
        "bounding_boxes.txt": ["1.0 1.0 8.0 8.0" for _ in entries],
    }
    for name, values in lines.items():
        (root / name).write_text("".join(f"{i} {value}\n" for i, value in enumerate(values, 1)))
    (root / "classes.txt").write_text("1 cat\n2 dog\n")


def imagenet(root: Path, entries: list[Entry]) -> None:
    for entry in entries:
        put(root / "Data/CLS-LOC/train" / (entry.label or ".") / Path(entry.file).name)


def mvtec(root: Path, entries: list[Entry]) -> None:
    put(root / "train/good/0.png")
    put(root / "test/good/0.png")
    for entry in entries:
        folder = "good" if entry.label == "background" else entry.label or "."
        put(root / "test" / folder / Path(entry.file).name)
        if entry.label in ("cat", "dog"):
            (root / "ground_truth" / entry.label).mkdir(parents=True, exist_ok=True)
            mask = Image.fromarray(np.full((H, W), 255, np.uint8))
            mask.save(root / "ground_truth" / entry.label / f"{Path(entry.file).stem}_mask.png")


Build = Callable[[Path, list[Entry]], None]
LISTS: tuple[Build, ...] = (table, json_lines, boxes, voc, coco, wsol, openimages, cub)
ALL: tuple[Build, ...] = (*LISTS, class_folders, imagenet, mvtec)
SPLIT = {voc: "train", coco: "train", wsol: "train", openimages: "train", cub: "train", imagenet: "train"}


def readers(*builds: Build) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("build", builds, ids=lambda build: build.__name__)


def opened(build: Build, root: Path) -> ImageSet:
    return open_dataset(root, SPLIT.get(build), skip_bad=True)


def labels_of(found: ImageSet) -> dict[str, tuple[str, ...]]:
    """Class names by the name of the picture's file."""
    return {record.image.name: tuple(found.class_names[c] for c in record.classes) for record in found.records}


def told(build: Build, root: Path) -> str:
    """All that the doctor says is wrong."""
    return "\n".join(str(problem) for problem in check_dataset(root, SPLIT.get(build)))


@readers(*ALL)
def test_sound(tmp_path: Path, build: Build) -> None:
    build(tmp_path, SOUND)
    found = opened(build, tmp_path)
    expected = {"a.jpg": ("cat",), "b.jpg": ("dog",), "c.jpg": ("cat",)}
    assert {name: labels for name, labels in labels_of(found).items() if name in expected} == expected
    assert found.left_out == ()


@readers(*ALL)
def test_corrupt_picture(tmp_path: Path, build: Build) -> None:
    build(tmp_path, SOUND)
    for path in tmp_path.rglob("b.jpg"):
        path.write_text("no picture")
    left = leave_out_unreadable(opened(build, tmp_path))
    assert "b.jpg" not in labels_of(left)
    assert {"a.jpg", "c.jpg"} <= set(labels_of(left))
    assert "b.jpg: the file is not an image of a kind that is read" in told(build, tmp_path)


@readers(*ALL)
def test_duplicate_id(tmp_path: Path, build: Build) -> None:
    build(tmp_path, [*SOUND, Entry("in/a.png", "cat")])
    assert sum(record.id.endswith("a") for record in opened(build, tmp_path).records) <= 1
    text = told(build, tmp_path)
    assert "a.png" in text
    assert "rename one of them" in text


@readers(*ALL)
def test_foreign_folders(tmp_path: Path, build: Build) -> None:
    build(tmp_path, SOUND)
    put(tmp_path / "__MACOSX/x.jpg")
    put(tmp_path / "labelled/masks/x.png")
    (tmp_path / "labelled/predict.json").write_text('{"network": "0"}')
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/readme.txt").write_text("nothing")
    found = opened(build, tmp_path)
    assert {"a.jpg", "b.jpg", "c.jpg"} <= set(labels_of(found))
    assert "x.jpg" not in labels_of(found)
    assert {"cat", "dog"} <= set(found.class_names)
    assert not {"docs", "labelled", "masks", "__MACOSX"} & set(found.class_names)


@readers(*LISTS)
@pytest.mark.parametrize("written", ["in\\b.jpg", ".\\in\\b.jpg"])
def test_backslashes(tmp_path: Path, build: Build, written: str) -> None:
    build(tmp_path, [SOUND[0], replace(SOUND[1], written=written), SOUND[2]])
    found = opened(build, tmp_path)
    assert labels_of(found)["b.jpg"] == ("dog",)
    assert found.left_out == ()


@readers(*(build for build in ALL if build not in (class_folders, mvtec, imagenet)))
def test_unknown_class(tmp_path: Path, build: Build) -> None:
    build(tmp_path, [*SOUND, Entry("in/z.jpg", "zebra")])
    if build not in (wsol, openimages, cub, coco):
        (tmp_path / "classes.txt").write_text("cat\ndog\n")
    found = opened(build, tmp_path)
    assert found.class_names == ("cat", "dog")
    assert "z.jpg" not in labels_of(found)
    assert any(where in told(build, tmp_path) for where in ("z.jpg", "line 4", "line 5"))


@readers(table, json_lines, boxes, voc, coco, class_folders, mvtec)
def test_background_is_no_class(tmp_path: Path, build: Build) -> None:
    build(tmp_path, [*SOUND, Entry("in/n.jpg", "background")])
    found = opened(build, tmp_path)
    assert found.class_names == ("cat", "dog") or build is voc
    assert labels_of(found)["n.jpg"] == ()
    assert not any(name.lower() == "background" for name in found.class_names)


@readers(table, json_lines, boxes, voc, wsol, openimages, cub, imagenet)
def test_no_label(tmp_path: Path, build: Build) -> None:
    build(tmp_path, [*SOUND, Entry("n.jpg", "")])
    found = opened(build, tmp_path)
    assert "n.jpg" not in labels_of(found)
    assert {"a.jpg", "b.jpg", "c.jpg"} <= set(labels_of(found))
    assert len(found.left_out) >= 1


MASKS = {table: "masks/in", json_lines: "masks/in", boxes: "masks/in", voc: "SegmentationClass/in"}


@readers(*MASKS)
@pytest.mark.parametrize("name", ["a_mask.png", "a.jpg.png", "a-gt.png"])
def test_mask_of_another_name(tmp_path: Path, build: Build, name: str) -> None:
    build(tmp_path, SOUND)
    write_mask(tmp_path / MASKS[build] / name, np.ones((H, W), np.uint8))
    write_mask(tmp_path / MASKS[build] / "b.png", np.full((H, W), 2, np.uint8))
    assert f"{name}: the mask is read for no image: call it in/a.png" in told(build, tmp_path)


@readers(*MASKS)
def test_masks_of_no_image(tmp_path: Path, build: Build) -> None:
    build(tmp_path, SOUND)
    write_mask(tmp_path / MASKS[build] / "zzz.png", np.ones((H, W), np.uint8))
    assert "all 1 masks belong to no image" in told(build, tmp_path)
    write_mask(tmp_path / MASKS[build] / "a.png", np.ones((H, W), np.uint8))
    found = opened(build, tmp_path)
    assert any("1 masks belong to no image (in/zzz.png)" in str(notice) for notice in found.notices)


@readers(*MASKS)
def test_odd_masks(tmp_path: Path, build: Build) -> None:
    build(tmp_path, SOUND)
    write_mask(tmp_path / MASKS[build] / "a.png", np.full((H, W), 99, np.uint8))
    write_mask(tmp_path / MASKS[build] / "b.png", np.full((H, W + 1), 1, np.uint8))
    text = told(build, tmp_path)
    assert "a.png: the mask holds the values 99" in text
    assert f"b.png: the mask is {W + 1} x {H} pixels" in text


@readers(wsol, openimages)
def test_an_image_without_truth(tmp_path: Path, build: Build) -> None:
    build(tmp_path, SOUND)
    file = tmp_path / "train/localization.txt"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if "b.jpg" not in line))
    assert "'in/b.jpg', an image without a line in localization.txt" in told(build, tmp_path)


@readers(boxes, wsol, cub, coco)
@pytest.mark.parametrize("value", ["nan", "inf", "1e999"])
def test_boxes_that_are_not_finite(tmp_path: Path, build: Build, value: str) -> None:
    build(tmp_path, SOUND)
    file, old, new = {
        boxes: ("boxes.csv", "1,1,9,9", f"1,1,{value},9"),
        wsol: ("train/localization.txt", "1,1,9,9", f"1,1,{value},9"),
        cub: ("bounding_boxes.txt", "8.0 8.0", f"{value} 8.0"),
        coco: ("annotations/instances_train.json", "[1, 1, 5, 5]", f"[1, 1, {value.replace('nan', 'NaN')}, 5]"),
    }[build]
    if value == "inf" and build is coco:
        new = "[1, 1, Infinity, 5]"
    path = tmp_path / file
    path.write_text(path.read_text().replace(old, new, 1))
    assert told(build, tmp_path)


@readers(table, mvtec, openimages)
def test_missing_mask(tmp_path: Path, build: Build) -> None:
    build(tmp_path, SOUND)
    if build is table:
        (tmp_path / "labels.csv").write_text("image,labels,mask\nin/a.jpg,cat,m/a.png\nin/b.jpg,dog,\nin/c.jpg,cat,\n")
    for path in (*tmp_path.rglob("a_mask.png"), *tmp_path.rglob("m.png")):
        path.unlink()
    text = told(build, tmp_path)
    assert any(name in text for name in ("a.png", "a_mask.png", "m.png"))
    assert any(words in text for words in ("there is no such", "has no mask"))
