"""A folder of images with a label table, good and bad."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.data import ImageSet, open_dataset, read_mask, splits, write_mask
from advcam.errors import DataError


def put(root: Path, *names: str) -> None:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 12), (9, 9, 9)).save(file, "PNG" if file.suffix == ".png" else "JPEG")


def labels(root: Path, *lines: str, name: str = "labels.csv", head: str = "image,labels") -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("\n".join([head, *lines]) + "\n")


def content(image_set: ImageSet) -> dict[str, tuple[str, ...]]:
    return {record.id: tuple(image_set.class_names[c] for c in record.classes) for record in image_set.records}


def refused(root: Path, **options) -> str:
    with pytest.raises(DataError) as error:
        open_dataset(root, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_images_with_and_without_extension_in_folders_of_odd_names(tmp_path: Path) -> None:
    put(tmp_path, "b.jpg", "my pictures/Ä é.v2.JPG", "deep/er/scan.0042.jpeg", "a.png")
    labels(tmp_path, "b,dog", "my pictures/Ä é.v2,cat", "./deep/er/scan.0042.jpeg,dog;cat", "a.png,cat")
    found = open_dataset(tmp_path)
    assert found.format == "folder with a label table"
    assert content(found) == {
        "a": ("cat",),
        "b": ("dog",),
        "deep/er/scan.0042": ("cat", "dog"),
        "my pictures/Ä é.v2": ("cat",),
    }
    assert [record.id for record in found.records] == sorted(record.id for record in found.records)
    assert all(record.image.is_file() for record in found.records)
    assert not found.has_masks


def test_accents_written_in_two_ways(tmp_path: Path) -> None:
    put(tmp_path, unicodedata.normalize("NFD", "été.jpg"), "b.jpg")
    labels(tmp_path, unicodedata.normalize("NFC", "été.jpg") + ",cat", "b,dog")
    assert list(content(open_dataset(tmp_path))) == ["b", unicodedata.normalize("NFC", "été")]


def test_backslashes_from_windows(tmp_path: Path) -> None:
    put(tmp_path, "one/a.jpg", "one/b.jpg")
    labels(tmp_path, "one\\a.jpg,cat", "one\\b,dog")
    assert list(content(open_dataset(tmp_path))) == ["one/a", "one/b"]


def test_rows_of_one_image_add_up(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    labels(tmp_path, "a.jpg,dog", "a,cat", "a.jpg,dog", "b,background")
    assert content(open_dataset(tmp_path)) == {"a": ("cat", "dog"), "b": ()}


def test_class_list_from_a_file_from_an_argument_and_from_the_labels(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    labels(tmp_path, "a,10", "b,9")
    assert open_dataset(tmp_path).class_names == ("9", "10")
    (tmp_path / "classes.txt").write_text("background\n10\n9\n11\n")
    assert open_dataset(tmp_path).class_names == ("10", "9", "11")
    assert open_dataset(tmp_path, classes=["9", "10"]).class_names == ("9", "10")
    (tmp_path / "names.txt").write_text("10\r\n9\r\n")
    assert open_dataset(tmp_path, classes=tmp_path / "names.txt").class_names == ("10", "9")


def test_one_column_for_each_class(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    labels(tmp_path, "a,1,1", "b,0,0", head="image,Zebra,ant")
    found = open_dataset(tmp_path)
    assert found.class_names == ("Zebra", "ant")
    assert content(found) == {"a": ("Zebra", "ant"), "b": ()}


def test_split_column(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    labels(tmp_path, "a,cat,train", "b,dog,val", "c,cat,train", "d,dog,", head="image,labels,split")
    assert splits(tmp_path) == ("train", "val")
    assert list(content(open_dataset(tmp_path, "train"))) == ["a", "c"]
    assert open_dataset(tmp_path, "train").class_names == open_dataset(tmp_path, "val").class_names == ("cat", "dog")
    assert len(open_dataset(tmp_path)) == 4
    assert "there is no split 'test': choose one of its splits (train, val)" in refused(tmp_path, split="test")


def test_a_split_without_labels_troubles_only_those_who_ask_for_it(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    labels(tmp_path, "a,cat,train", "b,,test", head="image,labels,split")
    assert len(open_dataset(tmp_path, "train")) == 1
    assert "gives 'b' no label" in refused(tmp_path, split="test")


def test_hugging_face_layout(tmp_path: Path) -> None:
    put(tmp_path, "train/0001.png", "train/sub/0002.png", "test/0001.png")
    labels(tmp_path / "train", "0001.png,cat", "sub/0002.png,dog", head="file_name,label", name="metadata.csv")
    (tmp_path / "test" / "metadata.jsonl").write_text('{"file_name": "0001.png", "label": "dog"}\n')
    assert splits(tmp_path) == ("test", "train")
    assert content(open_dataset(tmp_path, "train")) == {"train/0001": ("cat",), "train/sub/0002": ("dog",)}
    assert content(open_dataset(tmp_path, "test")) == {"test/0001": ("dog",)}
    assert len(open_dataset(tmp_path)) == 3


def test_masks_from_the_folder_and_from_the_column(tmp_path: Path) -> None:
    put(tmp_path, "images/a.jpg", "images/b.jpg", "images/c.jpg")
    mask = np.zeros((12, 16), np.uint8)
    mask[3:6] = 2
    write_mask(tmp_path / "masks/a.png", mask)
    write_mask(tmp_path / "masks/images/b.png", mask)
    labels(tmp_path, "images/a,dog", "images/b,dog", "images/c,cat")
    found = open_dataset(tmp_path)
    assert [record.mask is not None for record in found.records] == [True, True, False]
    np.testing.assert_array_equal(read_mask(found.records[0], num_classes=2), mask)

    write_mask(tmp_path / "truth of c.png", mask)
    labels(tmp_path, "images/a,dog,", "images/b,dog,", "images/c,cat;dog,truth of c.png", head="image,labels,mask")
    assert open_dataset(tmp_path).has_masks


def test_labels_from_elsewhere_and_the_table_itself(tmp_path: Path) -> None:
    put(tmp_path / "data", "a.jpg", "b.jpg")
    labels(tmp_path, "a.jpg,cat", "b.jpg,dog", name="mine.tsv", head="image,labels")
    assert len(open_dataset(tmp_path / "data", labels=tmp_path / "mine.tsv")) == 2
    labels(tmp_path / "data", "a.jpg,cat", "b.jpg,dog", name="mine.csv")
    assert len(open_dataset(tmp_path / "data" / "mine.csv")) == 2
    assert len(open_dataset(str(tmp_path / "data"))) == 2
    labels(tmp_path / "data", "a.jpg,cat", "b.jpg,dog", name="other.csv")
    assert "there are several tables (mine.csv, other.csv): say with labels which" in refused(tmp_path / "data")


def test_hidden_files_and_results_are_not_data(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg", ".cache/x.jpg", "__MACOSX/a.jpg", "run/masks/a.png")
    (tmp_path / "._a.jpg").touch()
    (tmp_path / "run/run.yaml").write_text("schema: 1\n")
    labels(tmp_path, "a.jpg,cat", "b.jpg,dog")
    assert len(open_dataset(tmp_path)) == 2


def bad(tmp_path: Path, row: str, sentence: str, file: str = "labels.csv") -> None:
    """Two good images and a bad row: refused with a sentence, and left out with skip_bad."""
    put(tmp_path, "good.jpg", "fine.jpg")
    labels(tmp_path, "good.jpg,cat", row, "fine.jpg,dog")
    message = refused(tmp_path)
    assert message.startswith(f"{tmp_path / file}: ")
    assert sentence in message
    found = open_dataset(tmp_path, skip_bad=True)
    assert list(content(found)) == ["fine", "good"]
    assert any(sentence in str(problem) for problem in found.left_out)


def test_label_without_image(tmp_path: Path) -> None:
    bad(tmp_path, "gone.jpg,cat", "line 3 names 'gone.jpg', but there is no such image")


def test_image_without_label(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    bad(tmp_path, "a.jpg,", "line 3 gives 'a.jpg' no label")


def test_row_without_image_name(tmp_path: Path) -> None:
    bad(tmp_path, ",cat", "line 3 names no image")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    bad(tmp_path, "a.jpg,cat", "line 3 names 'a.jpg', but the file is empty")


def test_image_without_row(tmp_path: Path) -> None:
    put(tmp_path, "forgotten.jpg")
    bad(tmp_path, "good.jpg,cat", "labels.csv has no row for the image", file="forgotten.jpg")


def test_many_images_without_row_are_counted(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", *(f"more/{number:03d}.jpg" for number in range(50)))
    labels(tmp_path, "a.jpg,cat")
    found = open_dataset(tmp_path, skip_bad=True)
    assert len(found.left_out) == 21
    assert "30 more images have no row" in found.left_out[-1].message


def test_unknown_class(tmp_path: Path) -> None:
    put(tmp_path, "good.jpg", "b.jpg")
    labels(tmp_path, "good.jpg,airplane", "b.jpg,Aeroplan")
    (tmp_path / "classes.txt").write_text("bird\nairplane\n")
    message = refused(tmp_path)
    assert "line 3 names the class 'Aeroplan', which is none of the 2 classes: did you mean 'airplane'?" in message
    labels(tmp_path, "good.jpg,airplane", "b.jpg,xyz")
    assert "(bird, airplane): correct it, or list all classes in classes.txt" in refused(tmp_path)


def test_same_id_twice(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "a.png")
    bad(tmp_path, "a,cat", "line 3 names 'a', which is the id of a.jpg and a.png: rename one of them")


def test_same_id_in_two_rows(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "a.png")
    labels(tmp_path, "a.jpg,cat", "a.png,dog")
    assert "has the same id 'a' as" in refused(tmp_path)
    found = open_dataset(tmp_path, skip_bad=True)
    assert [record.image.name for record in found.records] == ["a.jpg"]


def test_one_image_in_two_splits(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    labels(tmp_path, "a,cat,train", "b,dog,train", "a,cat,val", head="image,labels,split")
    assert "line 4 gives 'a' another split or mask than line 2" in refused(tmp_path, split="val")


def test_missing_mask(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    labels(tmp_path, "a,cat,gt/a.png", head="image,labels,mask")
    assert "line 2 names the mask 'gt/a.png', but there is no such mask in" in refused(tmp_path)


@pytest.mark.parametrize("name", ["../secret.jpg", "x/../../secret.jpg", "x\\..\\..\\secret.jpg", "images/.."])
def test_names_that_climb(tmp_path: Path, name: str) -> None:
    put(tmp_path, "secret.jpg")
    bad(tmp_path / "data", f"{name},cat", "which leads out of the data folder: write a path without '..'")


@pytest.mark.parametrize("name", ["/etc/passwd", "C:\\secret.jpg", "\\\\server\\secret.jpg"])
def test_absolute_names(tmp_path: Path, name: str) -> None:
    bad(tmp_path, f"{name},cat", "an absolute path: write the path relative to the data folder")


def test_masks_that_climb(tmp_path: Path) -> None:
    put(tmp_path / "data", "a.jpg")
    put(tmp_path, "secret.png")
    labels(tmp_path / "data", "a,cat,../secret.png", head="image,labels,mask")
    assert "leads out of the data folder" in refused(tmp_path / "data")


def test_control_characters(tmp_path: Path) -> None:
    bad(tmp_path, '"a\nb.jpg",cat', "holds control characters")


def test_links(tmp_path: Path) -> None:
    """Files and folders may be links, as DVC and the Hugging Face cache make them; a loop is not run through."""
    put(tmp_path / "store", "x/a.jpg", "b.jpg")
    data = tmp_path / "data"
    data.mkdir()
    (data / "images").symlink_to(tmp_path / "store" / "x")
    (data / "b.jpg").symlink_to(tmp_path / "store" / "b.jpg")
    (data / "broken.jpg").symlink_to(tmp_path / "nothing")
    (data / "round").symlink_to(data)
    (data / "everything").symlink_to("/")
    (tmp_path / "store" / "x" / "back").symlink_to(data)
    (data / "self").symlink_to(data / "self")
    labels(data, "images/a.jpg,cat", "b,dog")
    assert list(content(open_dataset(data))) == ["b", "images/a"]


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    try:
        (tmp_path / "b.jpg").rename(tmp_path / os.fsdecode(b"\xff.jpg"))
    except OSError:
        pytest.skip("this file system admits only UTF-8")
    labels(tmp_path, "a,cat")
    assert "the name is not valid UTF-8: rename the file" in refused(tmp_path)
    assert list(content(open_dataset(tmp_path, skip_bad=True))) == ["a"]


def test_nothing_left(tmp_path: Path) -> None:
    labels(tmp_path, "a.jpg,cat")
    with pytest.raises(DataError, match="there is no image that can be used"):
        open_dataset(tmp_path, skip_bad=True)


def test_no_label_at_all(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    labels(tmp_path, "a.jpg,")
    assert "no row names a class" in refused(tmp_path)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [("cat\ncat\n", "the class 'cat' is listed twice"), ("\n \n", "is empty"), ("background\n", "no class name in it")],
)
def test_bad_class_lists(tmp_path: Path, names: str, sentence: str) -> None:
    put(tmp_path, "a.jpg")
    labels(tmp_path, "a.jpg,cat")
    (tmp_path / "classes.txt").write_text(names)
    assert sentence in refused(tmp_path)


def test_the_number_of_problems_is_told(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    labels(tmp_path, "a.jpg,cat", "b.jpg,cat", "c.jpg,cat")
    assert "(1 more, which advcam doctor lists; skip_bad goes on without)" in refused(tmp_path)
