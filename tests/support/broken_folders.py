"""Ten broken folders and what the doctor says of them; run as a script, it writes this into ``docs/doctor.md``."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"
BEGIN, END = "```text\n", "```\n"
SQUARE = [4.0, 4.0, 12.0, 4.0, 12.0, 12.0, 4.0, 12.0]


def picture(path: str, level: int = 120, dtype: type = np.uint8) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    shape = (24, 32, 3) if dtype is np.uint8 else (24, 32)
    Image.fromarray(np.full(shape, level, dtype)).save(path)


def table(folder: str, labels: list[str], heading: str = "image,labels") -> None:
    rows = [f"{index}.png,{label}" for index, label in enumerate(labels)]
    Path(folder, "labels.csv").write_text("\n".join([heading, *rows]) + "\n")


def pictures(folder: str, labels: list[str], heading: str = "image,labels") -> None:
    for index in range(len(labels)):
        picture(f"{folder}/{index}.png")
    table(folder, labels, heading)


def one_hot(root: str) -> None:
    rows = [",".join(str(int(index % 3 == column)) for column in range(3)) for index in range(12)]
    pictures(root, ["1,0,-1", *rows[1:]], "image,cat,dog,bird")


def splits(root: str) -> None:
    for name in ("train/cat", "train/dog", "val/cat", "val/dog"):
        for index in range(6):
            picture(f"{root}/{name}/{index}.png")
    picture(f"{root}/test/0.png")


def flat(root: str) -> None:
    for split in ("train", "val", "test"):
        for index in range(4):
            picture(f"{root}/{split}/{index}.png")


def masks(root: str) -> None:
    pictures(root, ["cat", "dog"] * 6)
    for name in ("0", "1_mask", "2.jpg", "zzz"):
        picture(f"{root}/masks/{name}.png")
        Image.fromarray(np.ones((24, 32), np.uint8)).save(f"{root}/masks/{name}.png")


def one_class(root: str) -> None:
    pictures(root, ["good"] * 12)


def dark(root: str) -> None:
    for index in range(12):
        picture(f"{root}/{index}.png", 4000, np.uint16)
    table(root, ["0", "1"] * 6)


def coco(root: str) -> None:
    outlines = ([SQUARE], [SQUARE], [SQUARE], [[1, 1, 9, 1]])
    content = {
        "images": [{"id": max(1, index), "file_name": f"{index}.png", "width": 32, "height": 24} for index in range(6)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "background"}],
        "annotations": [
            {"id": n, "image_id": n + 1, "category_id": 1, "bbox": [4, 4, 8, 8], "area": 64, "segmentation": shape}
            for n, shape in enumerate(outlines, 1)
        ],
    }
    for index in range(6):
        picture(f"{root}/train/{index}.png")
    Path(root, "annotations").mkdir()
    Path(root, "annotations/instances_train.json").write_text(json.dumps(content))


def names(root: str) -> None:
    for name in ("Cat", "cat", "dog", "labelled/masks"):
        for index in range(5):
            picture(f"{root}/{name}/{index}.png")
    Path(root, "labelled/predict.json").write_text('{"network": "3f"}')


def damaged(root: str) -> None:
    pictures(root, ["cat", "dog"] * 6)
    Path(root, "0.png").write_text("<html>not found</html>")
    whole = Path(root, "1.png").read_bytes()
    Path(root, "1.png").write_bytes(whole[: len(whole) - 25])
    Path(root, "2.png").write_bytes(b"")


def wsol(root: str) -> None:
    for index in range(6):
        picture(f"{root}/{index}.png")
    Path(root, "val").mkdir()
    Path(root, "val/image_ids.txt").write_text("".join(f"{index}.png\n" for index in range(6)))
    Path(root, "val/class_labels.txt").write_text("".join(f"{index}.png,{index % 2}\n" for index in range(6)))
    Path(root, "val/localization.txt").write_text("".join(f"{index}.png,1,1,9,9\n" for index in range(5)))


FOLDERS: dict[str, Callable[[str], None]] = {
    "one-hot": one_hot, "splits": splits, "flat": flat, "masks": masks, "one-class": one_class, "dark": dark,
    "coco": coco, "names": names, "damaged": damaged, "wsol": wsol,
}  # fmt: skip


def told(root: Path) -> str:
    """What ``advcam doctor`` prints of every folder, without versions and devices."""
    from advcam.errors import DataError
    from advcam.verbs.doctor import data_set
    from advcam.verbs.settings import DoctorSettings

    found, before = [], Path.cwd()
    os.chdir(root)
    try:
        for name, make in FOLDERS.items():
            make(name)
            text = io.StringIO()
            with contextlib.redirect_stdout(text), contextlib.redirect_stderr(io.StringIO()):
                try:
                    data_set(DoctorSettings(data=name))
                except DataError as error:
                    text.write(f"advcam: {error}\n")
            found.append(f"$ advcam doctor --data {name}\n{text.getvalue()}")
    finally:
        os.chdir(before)
    return "\n".join(found)


def page(text: str, output: str) -> str:
    """The page with what the doctor says now."""
    return text[: text.index(BEGIN) + len(BEGIN)] + output + text[text.rindex(END) :]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(page(PAGE.read_text(), told(Path(folder))))
    sys.stdout.write(f"{PAGE}\n")
