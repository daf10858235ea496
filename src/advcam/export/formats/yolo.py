"""YOLO's segmentation labels: one polygon a line, in fractions of the picture's sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from advcam.data.images import image_size
from advcam.data.listing import list_images
from advcam.data.text import read_text
from advcam.errors import DataError
from advcam.export.contours import paint, parts, without_holes
from advcam.export.item import Annotated, Corrections, Shape
from advcam.export.layers import Layers, named, numbering
from advcam.export.pictures import Pictures
from advcam.io.files import write_text

FILE = "data.yaml"
# A program that rounds and one that cuts off both find the pixel's number from here.
_INTO_PIXEL = 0.25


def write(found: Annotated, out: Path, pictures: Pictures) -> Path:
    """Write ``labels/``, ``data.yaml`` and, since trainings look for them there, ``images/``; returns ``data.yaml``.

    A line is one polygon, so each connected part is an object of its own. Polygons cannot have holes: a part with one
    is cut into pieces down the middle of the hole, which are the same pixels together. Corners lie in the border's
    pixels, since trainings paint the outline along with the inside. Boxes become lines of detection.
    """
    for item in found:
        pictures.place(item, out / "images")
        lines = [line for shape, corners in item.drawn for line in _lines(shape, corners, item.size)]
        write_text(out / "labels" / f"{item.id}.txt", "".join(f"{line}\n" for line in lines))
    names = dict(enumerate(found.class_names))
    described = {"path": ".", "train": "images", "val": "images", "names": names}
    write_text(out / FILE, yaml.safe_dump(described, sort_keys=False, allow_unicode=True))
    return out / FILE


def _lines(shape: Shape, corners: tuple[float, float, float, float], size: tuple[int, int]) -> Iterator[str]:
    height, width = size
    if shape.mask is None:
        x0, y0, x1, y1 = corners
        place = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
        yield f"{shape.class_index} " + " ".join(f"{value:.8f}" for value in place)
        return
    for piece in without_holes(shape.mask):
        (part,) = parts(piece, through_centres=True)
        # A polygon has three corners or more; those of a part one pixel wide are named again.
        points = np.resize(part.outer, (max(3, len(part.outer)), 2))
        values = ((points + _INTO_PIXEL) / np.array([width, height])).ravel().tolist()
        yield f"{shape.class_index} " + " ".join(f"{value:.8f}" for value in values)


def read(path: Path, class_names: Sequence[str] | None) -> Corrections:
    """The masks of polygons, later lines over earlier ones; lines of detection are no masks.

    Raises:
        DataError: the folder is not YOLO's, or its pictures, which the sizes come from, are not in it.
    """
    file = path if path.is_file() else path / FILE
    root = file.parent
    try:
        listed = yaml.safe_load(read_text(file)).get("names")
    except (yaml.YAMLError, AttributeError) as error:
        raise DataError(f"{file}: this is no data.yaml with names: write it again") from error
    pairs = sorted(listed.items()) if isinstance(listed, dict) else enumerate(listed or ())
    own = [str(name) for _, name in pairs]
    names = numbering(class_names, own)
    if not (root / "images").is_dir():
        raise DataError(f"{root}: there is no folder images, whose pictures give the sizes: copy the pictures there")
    pictures = list_images(root / "images").ids
    drawn: dict[str, Layers] = {}
    for labels in sorted((root / "labels").rglob("*.txt")):
        key = named(labels.relative_to(root / "labels").with_suffix("").as_posix() + ".png", str(file))
        if key not in pictures:
            raise DataError(f"{labels}: there is no picture {key} in images: copy it there")
        layers = drawn[key] = Layers(str(labels), image_size(root / "images" / pictures[key][0]))
        for line in labels.read_text(encoding="utf-8").splitlines():
            values = line.split()
            if len(values) < 7:
                continue
            index = names.index(own[_checked(values[0], len(own), labels)])
            layers.shapes.append((index, partial(_draw, values[1:], layers.size)))
    return Corrections("yolo", names, drawn)


def _checked(text: str, classes: int, where: Path) -> int:
    if not text.isdigit() or int(text) >= classes:
        raise DataError(f"{where}: {text!r} is none of the {classes} classes: correct the line")
    return int(text)


def _draw(values: list[str], size: tuple[int, int]) -> np.ndarray:
    corners = np.asarray(values, np.float64).reshape(-1, 2) * np.array(size[::-1])
    return paint([np.floor(corners + 1e-6)], size, border=True)
