"""COCO's annotation file, read into packed arrays so that a hundred thousand images fit into memory."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from advcam.data.outlines import MOST_CORNERS, decode_runs
from advcam.data.text import read_text
from advcam.errors import DataError


@dataclass(frozen=True, slots=True)
class Annotation:
    """One object: its category, its box as x, y, width, height, and its shape as outlines, runs or neither.

    ``flat`` says that an outline has fewer than three corners, so that it encloses nothing.
    """

    image_id: int | str
    category_id: int
    area: float
    box: tuple[float, float, float, float] | None
    rings: tuple[array, ...]
    runs: array | None
    runs_size: tuple[int, int] | None
    fault: str | None
    flat: bool = False


@dataclass(frozen=True)
class CocoFile:
    """The images, categories and objects of an annotation file."""

    path: Path
    images: tuple[dict[str, Any], ...]
    categories: dict[int, str]
    annotations: tuple[Annotation, ...]


def read_coco(path: Path) -> CocoFile:
    """Read an annotation file for object instances.

    Raises:
        DataError: the file is missing, is not JSON, or lacks images, annotations or categories with names.
    """
    text = read_text(path)
    try:
        # Each object is packed as soon as it is parsed; as Python's numbers the outlines of COCO take gigabytes.
        content = json.loads(text, object_hook=_pack)
    except (ValueError, RecursionError) as error:
        raise DataError(f"this is not JSON ({error}): replace the file", path) from error
    names = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(name), list) for name in names):
        raise DataError(
            "it lacks one of the lists images, annotations and categories: name an instances_*.json file", path
        )
    images, annotations, categories = (content[name] for name in names)
    if not all(
        isinstance(item, dict) and isinstance(item.get("id"), int | str) and item.get("file_name") for item in images
    ):
        raise DataError("an image has no id or no file_name: correct the file", path)
    if not all(isinstance(annotation, Annotation) for annotation in annotations):
        raise DataError("an annotation has no image_id or no category_id: name an instances_*.json file", path)
    if not categories or not all(
        isinstance(item, dict) and isinstance(item.get("id"), int) and item.get("name") for item in categories
    ):
        raise DataError("there are no categories, or one has no number or no name: correct the file", path)
    if twice := next((number for number, count in Counter(i["id"] for i in categories).items() if count > 1), None):
        raise DataError(f"two categories have the number {twice}: renumber one of them", path)
    return CocoFile(
        path=path,
        images=tuple(images),
        categories={item["id"]: str(item["name"]) for item in categories},
        annotations=tuple(annotations),
    )


def _pack(item: dict[str, Any]) -> dict[str, Any] | Annotation:
    if not isinstance(item.get("image_id"), int | str) or not isinstance(item.get("category_id"), int):
        return item
    rings: tuple[array, ...] = ()
    runs, runs_size, box, fault, flat = None, None, None, None, False
    shape = item.get("segmentation")
    try:
        if item.get("bbox"):
            x, y, width, height = (float(value) for value in item["bbox"])
            if not all(map(isfinite, (x, y, width, height))) or width < 0 or height < 0:
                raise ValueError("a box needs finite numbers")
            box = (x, y, width, height)
        if isinstance(shape, dict) and shape:
            counts = shape["counts"]
            height_, width_ = shape["size"]
            runs_size = (int(height_), int(width_))
            runs = decode_runs(counts, height_ * width_) if isinstance(counts, str) else array("I", counts)
        elif shape:
            if not isinstance(shape, list) or not all(isinstance(ring, list) for ring in shape):
                raise TypeError("outlines are lists of numbers")
            if max(map(len, shape)) > 2 * MOST_CORNERS:
                raise ValueError("more corners than any object has")
            flat = any(len(ring) < 6 for ring in shape)
            rings = tuple(_ring(ring) for ring in shape if len(ring) >= 6)
    except (ArithmeticError, KeyError, TypeError, ValueError):
        fault = "has a shape or a box that is not made of numbers as COCO has them"
    area = item.get("area")
    return Annotation(
        image_id=item["image_id"],
        category_id=item["category_id"],
        area=float(area) if isinstance(area, int | float) else 0.0,
        box=box,
        rings=rings,
        runs=runs,
        runs_size=runs_size,
        fault=fault,
        flat=flat,
    )


def _ring(numbers: list[float]) -> array:
    ring = array("d", numbers)
    if len(ring) % 2 or not all(map(isfinite, ring)):
        raise ValueError("an outline needs pairs of finite numbers")
    return ring
