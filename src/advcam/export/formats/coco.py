"""COCO's ``instances_*.json``, as CVAT, FiftyOne, Roboflow and most trainings read it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from advcam.data.coco_json import Annotation, read_coco
from advcam.export.contours import paint, parts
from advcam.export.item import Annotated, Corrections, Item, Shape
from advcam.export.layers import Layers, class_number, named, numbering
from advcam.export.pictures import Pictures
from advcam.export.runs import coco_runs, from_runs
from advcam.io.files import writing

FILE = Path("annotations", "instances_default.json")


def write(found: Annotated, out: Path, pictures: Pictures) -> Path:
    """Write the annotations, with ``images/`` beside them where pictures are copied; returns the JSON file.

    Categories get the ids 1, 2, ... in the order of the classes. A mask without holes becomes polygons along the edges
    of its pixels, one with holes compressed run lengths; both give the same pixels back. COCO has nothing for pixels
    that are set aside, so they are background in it.
    """
    images: list[dict[str, Any]] = []
    with writing(out / FILE) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"info": {"description": "masks from class labels"}, "licenses": [],\n"categories": ')
        names = enumerate(found.class_names, 1)
        json.dump([{"id": i, "name": name, "supercategory": ""} for i, name in names], file, ensure_ascii=False)
        file.write(',\n"annotations": [')
        count = 0
        for number, item in enumerate(found, 1):
            pictures.place(item, out / "images")
            height, width = item.size
            images.append({"id": number, "file_name": item.name, "height": height, "width": width})
            count = _write_shapes(file, item, number, count)
        file.write('\n],\n"images": ')
        json.dump(images, file, ensure_ascii=False)
        file.write("}\n")
    return out / FILE


def _write_shapes(file: TextIO, item: Item, number: int, count: int) -> int:
    """One annotation a line, so that a set of any size is written as it is made."""
    for shape, corners in item.drawn:
        count += 1
        head = {"id": count, "image_id": number, "category_id": shape.class_index + 1, "iscrowd": 0}
        score = {} if shape.score is None else {"score": round(shape.score, 4)}
        file.write(",\n" if count > 1 else "\n")
        json.dump(head | _shape(shape, corners) | score, file)
    return count


def _shape(shape: Shape, corners: tuple[float, float, float, float]) -> dict[str, Any]:
    x0, y0, x1, y1 = corners
    box = {"bbox": [x0, y0, x1 - x0, y1 - y0]}
    if shape.mask is None:
        return box | {"area": (x1 - x0) * (y1 - y0), "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]]}
    found = parts(shape.mask)
    outlines: Any = [part.outer.ravel().tolist() for part in found]
    if any(part.holes for part in found):
        outlines = {"size": list(shape.mask.shape), "counts": coco_runs(shape.mask)}
    return box | {"area": int(shape.mask.sum()), "segmentation": outlines}


def read(path: Path, class_names: Sequence[str] | None) -> Corrections:
    """The masks of an annotation file; larger objects are drawn first, as tools show them.

    Raises:
        DataError: the file is not COCO's, or names a class that is not known.
    """
    file = path if path.is_file() else _only_json(path)
    content = read_coco(file)
    names = numbering(class_names, list(content.categories.values()))
    number = {key: class_number(name, names, file) for key, name in content.categories.items()}
    layers: dict[int | str, Layers] = {}
    ids: dict[int | str, str] = {}
    for image in content.images:
        where = f"{file}: {image['file_name']}"
        ids[image["id"]] = named(str(image["file_name"]), str(file))
        layers[image["id"]] = Layers(where, (int(image.get("height", 0)), int(image.get("width", 0))))
    for annotation in sorted(content.annotations, key=lambda annotation: -annotation.area):
        own = layers.get(annotation.image_id)
        if own is not None and (annotation.rings or annotation.runs):
            own.shapes.append((number[annotation.category_id], partial(_draw, annotation, own.size)))
    return Corrections("coco", names, {ids[key]: own for key, own in layers.items()})


def _draw(annotation: Annotation, size: tuple[int, int]) -> np.ndarray:
    if annotation.runs is not None:
        return from_runs(annotation.runs, size[0] * size[1]).reshape(size[::-1]).T
    found = np.zeros(size, bool)
    for ring in annotation.rings:
        found |= paint([np.asarray(ring).reshape(-1, 2)], size)
    return found


def _only_json(folder: Path) -> Path:
    return next(iter(sorted(folder.glob("annotations/*.json")) or sorted(folder.glob("*.json"))))
