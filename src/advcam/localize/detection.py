"""Boxes of a data set as files: a table, and COCO's JSON for annotation tools."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from advcam.errors import RunError
from advcam.io.files import read_table, write_table

COLUMNS = ("image", "class", "score", "x0", "y0", "x1", "y1")


@dataclass(frozen=True, slots=True)
class Detection:
    """One object: the image's id, the class, a score in [0, 1], and its box in pixels, x1 and y1 one past the last."""

    image: str
    class_name: str
    score: float
    box: tuple[int, int, int, int]


def write_boxes(path: Path, detections: Iterable[Detection]) -> None:
    """Write the boxes as CSV: ``dogs/7,dog,0.7500,3,2,13,12``."""
    write_table(path, [COLUMNS, *((d.image, d.class_name, f"{d.score:.4f}", *d.box) for d in detections)])


def read_boxes(path: Path) -> list[Detection]:
    """What ``write_boxes`` wrote."""
    try:
        found = [
            Detection(
                row["image"],
                row["class"],
                float(row["score"]),
                (int(row["x0"]), int(row["y0"]), int(row["x1"]), int(row["y1"])),
            )
            for row in read_table(path, COLUMNS)
        ]
        if not all(isfinite(one.score) and all(0 <= side < 2**31 for side in one.box) for one in found):
            raise ValueError("a score or a corner is no number that a picture has")
        return found
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is not a whole table of boxes ({error}): run `advcam localize` again") from error


def coco_boxes(
    images: Iterable[tuple[str, str, tuple[int, int]]], class_names: Sequence[str], detections: Iterable[Detection]
) -> dict[str, Any]:
    """The boxes in COCO's form, as CVAT, Label Studio and FiftyOne import it; each has its ``score`` as well.

    Args:
        images: id, file name relative to the data folder, and (height, width) of every image, boxes or not.
        class_names: categories get the ids 1, 2, ... in this order.
        detections: in any order.

    >>> boxes = [Detection("dogs/7", "dog", 0.75, (3, 2, 13, 12))]
    >>> found = coco_boxes([("dogs/7", "dogs/7.jpg", (20, 30))], ["cat", "dog"], boxes)
    >>> found["annotations"][0]["bbox"], found["annotations"][0]["category_id"]
    ([3, 2, 10, 10], 2)
    """
    listed = list(images)
    number = {image_id: index for index, (image_id, _, _) in enumerate(listed, 1)}
    category = {name: index for index, name in enumerate(class_names, 1)}
    annotations = []
    for index, found in enumerate(detections, 1):
        x0, y0, x1, y1 = found.box
        annotations.append(
            {
                "id": index,
                "image_id": number[found.image],
                "category_id": category[found.class_name],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
                "score": round(found.score, 4),
            }
        )
    return {
        "info": {"description": "boxes from class labels"},
        "licenses": [],
        "images": [
            {"id": number[image_id], "file_name": file, "height": size[0], "width": size[1]}
            for image_id, file, size in listed
        ],
        "categories": [{"id": index, "name": name} for name, index in category.items()],
        "annotations": annotations,
    }
