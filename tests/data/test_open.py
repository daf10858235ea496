"""What every reader promises, and which of them a path is given to."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.data import Box, Polygons, image_size, open_dataset, read_image, read_mask, splits, write_mask
from advcam.errors import DataError


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 12)).save(root / name)


def table(root: Path) -> str | None:
    put(root, "one/b.jpg", "a.png", "one/c d.tif")
    (root / "labels.csv").write_text("image,labels\na.png,dog\none/b,cat;dog\none/c d.tif,cat\n")
    write_mask(root / "masks/one/b.png", np.ones((12, 16), np.uint8))
    return None


def json_lines(root: Path) -> str | None:
    put(root, "train/b.jpg", "train/a.png", "val/a.png")
    (root / "train/metadata.jsonl").write_text(
        '{"file_name": "a.png", "labels": ["dog"]}\n{"file_name": "b.jpg", "labels": ["cat", "dog"]}\n'
    )
    (root / "val/metadata.csv").write_text("file_name,label\na.png,bird\n")
    return "train"


def class_folders(root: Path) -> str | None:
    put(root, "dog/b.jpg", "dog/a.png", "cat/a.png")
    return None


def voc(root: Path) -> str | None:
    put(root, "JPEGImages/b.jpg", "JPEGImages/a.jpg", "JPEGImages/c.jpg")
    (root / "image_labels.csv").write_text("image,labels\na,dog person\nb,cat\nc,bird\n")
    write_mask(root / "SegmentationClass/a.png", np.full((12, 16), 12, np.uint8))
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/train.txt").write_text("b\na\n")
    (root / "ImageSets/Segmentation/val.txt").write_text("c\n")
    return "train"


def coco(root: Path) -> str | None:
    put(root, "val2017/b.jpg", "val2017/a.jpg")
    shape = {"segmentation": [[0, 0, 9, 0, 9, 9]], "bbox": [0, 0, 9, 9], "area": 40}
    content = {
        "images": [{"id": 2, "file_name": "b.jpg", "height": 12, "width": 16}, {"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 5, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [{"image_id": 2, "category_id": number} | shape for number in (5, 3, 5)],
    }
    (root / "annotations").mkdir()
    (root / "annotations/instances_val2017.json").write_text(json.dumps(content))
    return "val2017"


def wsol(root: Path) -> str | None:
    put(root, "bird/b.jpg", "bird/a.jpg")
    for split in ("train", "test"):
        (root / split).mkdir()
        (root / split / "image_ids.txt").write_text("bird/b.jpg\nbird/a.jpg\n")
        (root / split / "class_labels.txt").write_text("bird/a.jpg,1\nbird/b.jpg,0\n")
        (root / split / "localization.txt").write_text("bird/a.jpg,1,2,3,4\nbird/b.jpg,0,0,5,6\n")
    return "test"


FORMATS: dict[Callable[[Path], str | None], str] = {
    table: "folder with a label table",
    json_lines: "folder with a label table",
    class_folders: "one folder for each class",
    voc: "Pascal VOC layout",
    coco: "COCO layout",
    wsol: "WSOL metadata",
}


@pytest.mark.parametrize("make", FORMATS, ids=lambda make: make.__name__)
def test_contract(tmp_path: Path, make: Callable[[Path], str | None]) -> None:
    split = make(tmp_path)
    found = open_dataset(tmp_path, split)
    assert (found.format, found.root, found.split, found.left_out) == (FORMATS[make], tmp_path, split, ())
    assert split is None or split in splits(tmp_path)
    ids = [record.id for record in found.records]
    assert ids == sorted(set(ids))
    assert len(found) >= 2
    assert len(set(found.class_names)) == len(found.class_names) >= 2
    for record in found.records:
        assert not Path(record.id).is_absolute()
        assert ".." not in Path(record.id).parts
        assert record.image.suffix not in record.id
        assert record.image.is_file()
        assert image_size(record.image) == read_image(record.image).shape[:2] == (12, 16)
        assert list(record.classes) == sorted(set(record.classes))
        assert all(0 <= number < len(found.class_names) for number in record.classes)
        assert record.mask is None or isinstance(record.mask, Path | Polygons)
        if record.mask is not None:
            shown = set(np.unique(read_mask(record, num_classes=len(found.class_names))).tolist())
            assert shown <= {0, 255, *(number + 1 for number in record.classes)}
        assert record.boxes is None or all(isinstance(box, Box) for box in record.boxes)
    # The same again, from a relative path or in another process.
    assert open_dataset(tmp_path, split) == found
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize("make", FORMATS, ids=lambda make: make.__name__)
def test_no_image_is_opened(
    tmp_path: Path, make: Callable[[Path], str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    split = make(tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("an image was opened")

    monkeypatch.setattr(Image, "open", fail)
    assert len(open_dataset(tmp_path, split)) >= 2


@pytest.mark.parametrize("make", FORMATS, ids=lambda make: make.__name__)
def test_skip_bad_keeps_the_rest(tmp_path: Path, make: Callable[[Path], str | None]) -> None:
    split = make(tmp_path)
    whole = open_dataset(tmp_path, split)
    victim = whole.records[0]
    victim.image.write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        open_dataset(tmp_path, split)
    left = open_dataset(tmp_path, split, skip_bad=True)
    assert left.records == whole.records[1:]
    assert left.class_names == whole.class_names
    assert len(left.left_out) == 1
    assert victim.image.name in str(left.left_out[0])


@pytest.mark.parametrize("make", FORMATS, ids=lambda make: make.__name__)
def test_unknown_split(tmp_path: Path, make: Callable[[Path], str | None]) -> None:
    make(tmp_path)
    with pytest.raises(DataError, match="there is no split 'trian'"):
        open_dataset(tmp_path, "trian")


def refused(path: Path, **options: object) -> str:
    with pytest.raises(DataError) as error:
        open_dataset(path, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_nothing_there(tmp_path: Path) -> None:
    assert "there is no such file or folder" in refused(tmp_path / "gone")
    assert "there is no such file or folder: correct the path of the labels" in refused(tmp_path, labels="gone.csv")
    assert "no labels are found" in refused(tmp_path)


def test_files_of_no_known_kind(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    assert "neither a label table (CSV, TSV, JSONL) nor COCO's JSON" in refused(tmp_path / "a.jpg")
    (tmp_path / "labels.xls").touch()
    assert "labels are read from CSV" in refused(tmp_path, labels=tmp_path / "labels.xls")
    (tmp_path / "labels.npy").touch()
    assert "this file belongs to the layout of VOC" in refused(tmp_path, labels=tmp_path / "labels.npy")
    assert "so the data must be the folder" in refused(tmp_path / "a.jpg", labels=tmp_path / "labels.npy")
    (tmp_path / "more").mkdir()
    assert "there is no image_ids.txt in this folder or below it" in refused(tmp_path, labels=tmp_path / "more")


def test_a_folder_of_data_sets(tmp_path: Path) -> None:
    voc(tmp_path / "mine")
    class_folders(tmp_path / "yours")
    assert "there are data sets in its folders (mine): name one of them" in refused(tmp_path)


def test_voc_in_its_development_kit(tmp_path: Path) -> None:
    voc(tmp_path / "VOCdevkit/VOC2012")
    assert len(open_dataset(tmp_path, "train")) == len(open_dataset(tmp_path / "VOCdevkit", "train")) == 2


def test_classes_in_a_file_or_a_sequence(tmp_path: Path) -> None:
    table(tmp_path)
    (tmp_path / "names.txt").write_text("dog\ncat\n")
    for classes in (tmp_path / "names.txt", str(tmp_path / "names.txt"), ["dog", "cat"], ("dog", "cat")):
        assert open_dataset(tmp_path, classes=classes).class_names == ("dog", "cat")
    assert "cannot be read" in refused(tmp_path, classes=tmp_path / "gone.txt")
