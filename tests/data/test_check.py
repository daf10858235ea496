"""All problems of a data set at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.data import check_dataset, leave_out_unreadable, open_dataset, write_mask


def photograph(file: Path, size: tuple[int, int] = (32, 24)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """One of every kind of damage, and three images that are well. The classes are Dog, cat and dog."""
    names = ["good.jpg", "fine.png", "sub/well.jpg", "truncated.jpg", "wide.jpg", "odd.jpg", "label.jpg", "extra.jpg"]
    for name in names:
        photograph(tmp_path / name)
    (tmp_path / "truncated.jpg").write_bytes((tmp_path / "truncated.jpg").read_bytes()[:700])
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.jpg").touch()
    photograph(tmp_path / "dot.png", (1, 1))
    write_mask(tmp_path / "masks/good.png", 2 * np.eye(24, 32, dtype=np.uint8))
    write_mask(tmp_path / "masks/wide.png", np.zeros((24, 30), np.uint8))
    write_mask(tmp_path / "masks/odd.png", np.full((24, 32), 9, np.uint8))
    write_mask(tmp_path / "masks/label.png", np.full((24, 32), 3, np.uint8))
    rows = ["good.jpg,cat", "fine,dog", "sub/well.jpg,Dog", "truncated.jpg,cat", "wide.jpg,cat", "odd.jpg,cat"]
    rows += [
        "label.jpg,cat",
        "text.jpg,cat",
        "empty.jpg,cat",
        "dot.png,cat",
        "gone.jpg,dog",
        "../up.jpg,dog",
        "fine.png,",
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["image,labels", *rows]))
    return tmp_path


SENTENCES = {
    "labels.csv: line 10 names 'empty.jpg', but the file is empty",
    "labels.csv: line 12 names 'gone.jpg', but there is no such image",
    "labels.csv: line 13 names '../up.jpg', which leads out of the data folder",
    "labels.csv: line 14 gives 'fine.png' no label",
    "extra.jpg: labels.csv has no row for the image",
    ": the classes 'Dog' and 'dog' differ only in case, blanks or how accents are stored",
    "dot.png: the image is 1 x 1 pixels",
    "label.jpg: its mask shows dog, which its labels do not name",
    "masks/odd.png: the mask holds the values 9",
    "text.jpg: the file is not an image of a kind that is read",
    "truncated.jpg: the image is truncated or damaged",
    "masks/wide.png: the mask is 30 x 24 pixels",
}


def test_every_problem_is_found_once(broken: Path) -> None:
    found = [str(problem).removeprefix(str(broken)).removeprefix("/") for problem in check_dataset(broken)]
    for sentence in SENTENCES:
        assert sum(problem.startswith(sentence) for problem in found) == 1, (sentence, found)
    assert len(found) == len(SENTENCES)


def test_what_cannot_be_read_is_left_out(broken: Path) -> None:
    listed = open_dataset(broken, skip_bad=True)
    assert len(listed) == 9
    steps: list[tuple[int, int]] = []
    left = leave_out_unreadable(listed, lambda done, total: steps.append((done, total)))
    assert [record.id for record in left.records] == ["fine", "good", "label", "sub/well"]
    assert [problem.file for problem in left.left_out[len(listed.left_out) :]] == [
        str(broken / name) for name in ("dot.png", "masks/odd.png", "text.jpg", "truncated.jpg", "masks/wide.png")
    ]
    assert steps == [(done, 9) for done in range(1, 10)]


def test_a_sound_data_set(tmp_path: Path) -> None:
    photograph(tmp_path / "cat/a.jpg")
    photograph(tmp_path / "dog/b.jpg")
    assert check_dataset(tmp_path) == []
    assert leave_out_unreadable(open_dataset(tmp_path)) == open_dataset(tmp_path)


@pytest.mark.parametrize("content", ["", "nothing\nhere\n", "image,labels\n"])
def test_a_table_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    (tmp_path / "labels.csv").write_text(content)
    (problem,) = check_dataset(tmp_path)
    assert problem.file == str(tmp_path / "labels.csv")


def test_all_splits_are_looked_at(tmp_path: Path) -> None:
    photograph(tmp_path / "JPEGImages/a.jpg")
    photograph(tmp_path / "JPEGImages/b.jpg")
    (tmp_path / "JPEGImages/b.jpg").write_text("no image")
    (tmp_path / "image_labels.csv").write_text("image,labels\na,cat\nb,cat\n")
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    for split, lines in {"train": "a\n", "val": "a\nb\nc\n", "none": "c\n"}.items():
        (tmp_path / f"ImageSets/Segmentation/{split}.txt").write_text(lines)
    assert check_dataset(tmp_path, "train") == []
    assert len(check_dataset(tmp_path, "val")) == 2
    assert len(check_dataset(tmp_path)) == 4
    assert [problem.message[:28] for problem in check_dataset(tmp_path, "nope")] == ["there is no split 'nope': ch"]


def test_masks_of_black_and_white(tmp_path: Path) -> None:
    for name in ("a", "b"):
        photograph(tmp_path / f"{name}.jpg")
        write_mask(tmp_path / f"masks/{name}.png", np.eye(24, 32, dtype=np.uint8) * 255)
    (tmp_path / "labels.csv").write_text("image,labels\na,cat\nb,dog\n")
    (problem,) = check_dataset(tmp_path)
    assert "no mask holds anything but 0 and 255, which means ignore" in problem.message


def test_boxes_outside_their_image(tmp_path: Path) -> None:
    photograph(tmp_path / "a.jpg")
    (tmp_path / "test").mkdir()
    (tmp_path / "test/image_ids.txt").write_text("a.jpg")
    (tmp_path / "test/class_labels.txt").write_text("a.jpg,0")
    (tmp_path / "test/localization.txt").write_text("a.jpg,0,0,31,23\na.jpg,0,0,64,23\na.jpg,9,9,3,12")
    assert [problem.message for problem in check_dataset(tmp_path / "test")] == [
        "its box (0, 0, 64, 23) is not inside its 32 x 24 pixels: correct the box",
        "its box (9, 9, 3, 12) is not inside its 32 x 24 pixels: correct the box",
    ]


def test_the_real_subsets_are_sound(shared: Path) -> None:
    assert check_dataset(shared / "data/coco") == []
    assert check_dataset(shared / "data/voc12", "val_mini") == []
    assert check_dataset(shared / "data/voc12/wsol", "test") == []
