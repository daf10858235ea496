"""labelme's JSON, one file beside each picture: polygons, and small pictures for what has holes."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from advcam.data.images import open_picture
from advcam.data.text import read_text
from advcam.errors import DataError
from advcam.export.contours import paint, parts
from advcam.export.item import Annotated, Corrections, Item, Shape
from advcam.export.layers import Layers, class_number, named, numbering
from advcam.export.pictures import Pictures
from advcam.export.runs import box_of
from advcam.io.files import write_json

VERSION = "5.5.0"


def write(found: Annotated, out: Path, pictures: Pictures) -> Path:
    """Write a JSON file for each picture, beside its copy; returns the folder.

    Each connected part is a polygon through the pixels of its border. Those with holes are together a shape of the kind
    ``mask``, which labelme has since version 5.2. The parts of an object share a ``group_id``.
    """
    for item in found:
        pictures.place(item, out)
        write_json(out / f"{item.id}.json", _content(item, found.class_names))
    return out


def _content(item: Item, names: Sequence[str]) -> dict[str, Any]:
    shapes = []
    for number, (shape, corners) in enumerate(item.drawn, 1):
        common = {"label": names[shape.class_index], "group_id": number, "description": "", "flags": {}}
        shapes += [{**common, **drawn} for drawn in _shapes(shape, corners)]
    return {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": PurePosixPath(item.name).name,
        "imageData": None,
        "imageHeight": item.size[0],
        "imageWidth": item.size[1],
    }


def _shapes(shape: Shape, corners: tuple[float, float, float, float]) -> list[dict[str, Any]]:
    if shape.mask is None:
        x0, y0, x1, y1 = corners
        return [{"points": [[x0, y0], [x1, y1]], "shape_type": "rectangle", "mask": None}]
    found, rest = [], shape.mask.copy()
    for part in parts(shape.mask, through_centres=True):
        # A polygon needs three corners, so a part one pixel wide stays with those that have holes.
        if not part.holes and len(part.outer) >= 3:
            found.append({"points": part.outer.tolist(), "shape_type": "polygon", "mask": None})
            rest &= ~paint([part.outer], rest.shape, border=True)
    if rest.any():
        x0, y0, x1, y1 = box_of(rest)
        text = io.BytesIO()
        Image.fromarray(rest[y0:y1, x0:x1]).save(text, "PNG")
        packed = base64.b64encode(text.getvalue()).decode("ascii")
        found.append({"points": [[x0, y0], [x1 - 1, y1 - 1]], "shape_type": "mask", "mask": packed})
    return found


def read(path: Path, class_names: Sequence[str] | None) -> Corrections:
    """The masks of polygons and mask shapes, later ones over earlier ones; rectangles are no masks.

    Raises:
        DataError: a file is not labelme's, or names a class that is not known.
    """
    files = sorted(path.rglob("*.json"))
    contents = {file: _read(file) for file in files}
    listed = {str(s.get("label")) for content in contents.values() for s in content["shapes"]}
    names = numbering(class_names, sorted(listed))
    drawn: dict[str, Layers] = {}
    for file, content in contents.items():
        key = named(file.relative_to(path).with_suffix("").as_posix() + ".png", str(path))
        own = drawn[key] = Layers(str(file), (int(content["imageHeight"]), int(content["imageWidth"])))
        for shape in content["shapes"]:
            if shape.get("shape_type") in ("polygon", "mask"):
                index = class_number(shape.get("label"), names, file)
                own.shapes.append((index, partial(_draw, shape, own.size)))
    return Corrections("labelme", names, drawn)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(file))
        whole = isinstance(content["shapes"], list) and content["imageHeight"] and content["imageWidth"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{file}: this is no file of labelme's: take it out of the folder") from error
    if not whole:
        raise DataError(f"{file}: it lacks the picture's size: save it with labelme again")
    return content


def _draw(shape: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    points = np.asarray(shape["points"], np.float64)
    if shape["shape_type"] == "polygon":
        return paint([points], size, border=True)
    with open_picture(io.BytesIO(base64.b64decode(shape["mask"]))) as image:
        piece = np.asarray(image.convert("1"))
    found = np.zeros(size, bool)
    x0, y0 = points[0].astype(int).tolist()
    found[y0 : y0 + piece.shape[0], x0 : x0 + piece.shape[1]] = piece
    return found
