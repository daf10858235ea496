"""CVAT's own XML, "CVAT for images 1.1": masks as run lengths, boxes, labels as tags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import numpy as np

from advcam.data.masks import voc_palette
from advcam.errors import DataError
from advcam.export.contours import paint
from advcam.export.item import Annotated, Corrections, Item
from advcam.export.layers import Layers, class_number, named, numbering
from advcam.export.pictures import Pictures
from advcam.export.runs import cvat_runs, from_runs
from advcam.io.files import writing

FILE = "annotations.xml"


def write(found: Annotated, out: Path, pictures: Pictures) -> Path:
    """Write ``annotations.xml``, with ``images/`` beside it where pictures are copied; returns the file.

    In CVAT: make a task of the same pictures with the labels of the file, then *Upload annotations*, "CVAT 1.1".
    Masks keep their holes. Pixels that are set aside are background in it.
    """
    with writing(out / FILE) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
        file.write("  <meta>\n    <task>\n      <labels>\n")
        palette = voc_palette()
        for number, name in enumerate(found.class_names, 1):
            label = ElementTree.Element("label")
            ElementTree.SubElement(label, "name").text = name
            ElementTree.SubElement(label, "color").text = "#" + bytes(palette[number % 256].tolist()).hex()
            ElementTree.SubElement(label, "attributes")
            file.write(f"        {ElementTree.tostring(label, encoding='unicode')}\n")
        file.write("      </labels>\n    </task>\n  </meta>\n")
        for number, item in enumerate(found):
            pictures.place(item, out / "images")
            file.writelines(_image(item, number, found.class_names))
        file.write("</annotations>\n")
    return out / FILE


def _image(item: Item, number: int, names: Sequence[str]) -> Iterator[str]:
    height, width = item.size
    yield f'  <image id="{number}" name={quoteattr(item.name)} width="{width}" height="{height}">\n'
    for index in item.classes:
        yield f'    <tag label={quoteattr(names[index])} source="auto"></tag>\n'
    for shape, corners in item.drawn:
        head = f'label={quoteattr(names[shape.class_index])} source="auto" occluded="0"'
        if shape.mask is not None:
            runs = " ".join(f'{key}="{value}"' for key, value in cvat_runs(shape.mask).items())
            yield f'    <mask {head} {runs} z_order="0"></mask>\n'
        else:
            pairs = zip(("xtl", "ytl", "xbr", "ybr"), corners, strict=True)
            sides = " ".join(f'{key}="{value:.2f}"' for key, value in pairs)
            yield f'    <box {head} {sides} z_order="0"></box>\n'
    yield "  </image>\n"


def read(path: Path, class_names: Sequence[str] | None) -> Corrections:
    """Masks and polygons of each image, in CVAT's order of layers; tags become labels. Boxes are no masks.

    Raises:
        DataError: the file is not CVAT's, or names a class that is not known.
    """
    file = path if path.is_file() else path / FILE
    listed: list[str] = []
    images: list[ElementTree.Element] = []
    for element in _elements(file):
        if element.tag == "label" and element.findtext("name"):
            listed.append(str(element.findtext("name")).strip())
        elif element.tag == "image":
            images.append(element)
    if not images and not listed:
        raise DataError(f"{file}: there are no images and no labels in it: export the task as CVAT for images 1.1")
    used = [str(shape.get("label")) for image in images for shape in image]
    names = numbering(class_names, listed or used)
    drawn: dict[str, Layers] = {}
    tagged: dict[str, tuple[int, ...]] = {}
    for image in images:
        where = f"{file}: {image.get('name')}"
        own = Layers(where, (_number(image, "height", where), _number(image, "width", where)))
        tags = set()
        for shape in sorted(image, key=lambda shape: int(shape.get("z_order") or 0)):
            index = class_number(shape.get("label"), names, where)
            if shape.tag == "tag":
                tags.add(index)
            elif shape.tag in ("mask", "polygon"):
                own.shapes.append((index, partial(_draw, shape, own.size)))
        key = named(image.get("name") or "", str(file))
        drawn[key], tagged[key] = own, tuple(sorted(tags))
    return Corrections("cvat", names, drawn, tagged)


def _draw(shape: ElementTree.Element, size: tuple[int, int]) -> np.ndarray:
    if shape.tag == "polygon":
        pairs = [pair.split(",") for pair in (shape.get("points") or "").split(";")]
        return paint([np.asarray(pairs, np.float64)], size)
    left, top, width, height = (int(float(shape.get(key) or 0)) for key in ("left", "top", "width", "height"))
    if left < 0 or top < 0 or left + width > size[1] or top + height > size[0]:
        raise ValueError("its mask reaches out of the image")
    lengths = np.asarray([int(value) for value in (shape.get("rle") or "").split(",")], np.int64)
    found = np.zeros(size, bool)
    found[top : top + height, left : left + width] = from_runs(lengths, width * height).reshape(height, width)
    return found


def _elements(file: Path) -> Iterator[ElementTree.Element]:
    """The images and labels of the file, one after the other; a file that declares entities is refused."""
    try:
        with file.open("rb") as opened:
            if b"<!DOCTYPE" in opened.read(4096).upper():
                raise DataError(f"{file}: it declares a document type, as no file of CVAT does: export it again")
            opened.seek(0)
            for _, element in ElementTree.iterparse(opened):
                if element.tag in ("image", "label"):
                    yield element
    except ElementTree.ParseError as error:
        raise DataError(f"{file}: this is not whole XML ({error}): export it again") from error
    except OSError as error:
        raise DataError(f"{file}: the file cannot be read ({error.strerror}): correct the path") from error


def _number(element: ElementTree.Element, key: str, where: str) -> int:
    try:
        return int(float(element.get(key) or ""))
    except ValueError:
        raise DataError(f"{where}: the image has no {key}: export the task again") from None
