"""The folders of PASCAL VOC: pictures of classes and of objects, boxes as XML, lists. CVAT's "Segmentation mask 1.1"
is the same without boxes and without pixels that no label declares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from jaxtyping import UInt8

from advcam.data.classes import BACKGROUND
from advcam.data.images import open_image
from advcam.data.masks import voc_palette, write_mask
from advcam.data.text import read_text
from advcam.errors import DataError
from advcam.export.item import IGNORE, Annotated, Corrections, Item
from advcam.export.layers import named, numbering
from advcam.export.pictures import Pictures
from advcam.io.files import write_text

LABELS, CLASSES, OBJECTS = "labelmap.txt", "SegmentationClass", "SegmentationObject"
IGNORED = "ignored"
LIST = "default"


def write(found: Annotated, out: Path, pictures: Pictures) -> Path:
    """Write VOC's folders; pixels that are set aside are 255 and declared as ``ignored``. Returns the folder."""
    return _write(found, out, pictures, boxes=True)


def write_for_cvat(found: Annotated, out: Path, pictures: Pictures) -> Path:
    """Write what CVAT imports as "Segmentation mask 1.1"; pixels that are set aside are background in it."""
    return _write(found, out, pictures, boxes=False)


def _write(found: Annotated, out: Path, pictures: Pictures, *, boxes: bool) -> Path:
    if wrong := [name for name in found.class_names if ":" in name or "\n" in name or name == IGNORED]:
        raise DataError(f"the class {wrong[0]!r} cannot stand in {LABELS}: rename it, or take another format")
    ids, set_aside = [], False
    for item in found:
        pictures.place(item, out / "JPEGImages")
        labels, numbers = item.labels(), item.numbers()
        ignored = labels == IGNORE
        if boxes:
            set_aside |= bool(ignored.any())
            numbers[ignored] = IGNORE
            _write_boxes(item, found.class_names, out / "Annotations" / f"{item.id}.xml")
        else:
            labels[ignored] = 0
        write_mask(out / CLASSES / f"{item.id}.png", labels)
        write_mask(out / OBJECTS / f"{item.id}.png", numbers)
        ids.append(item.id)
    for kind in ("Segmentation", "Main") if boxes else ("Segmentation",):
        write_text(out / "ImageSets" / kind / f"{LIST}.txt", "".join(f"{image_id}\n" for image_id in ids))
    rows = list(zip((BACKGROUND, *found.class_names), voc_palette().tolist(), strict=False))
    rows += [(IGNORED, voc_palette()[IGNORE].tolist())] if set_aside else []
    lines = [f"{name}:{','.join(map(str, colour))}::\n" for name, colour in rows]
    write_text(out / LABELS, "# label:color_rgb:parts:actions\n" + "".join(lines))
    return out


def _write_boxes(item: Item, names: Sequence[str], path: Path) -> None:
    """Boxes counted from 1 with their last pixel, as VOC's files are."""
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = item.name
    size = ElementTree.SubElement(root, "size")
    for key, pixels in zip(("width", "height", "depth"), (item.size[1], item.size[0], 3), strict=True):
        ElementTree.SubElement(size, key).text = str(pixels)
    ElementTree.SubElement(root, "segmented").text = str(int(any(s.mask is not None for s in item.shapes)))
    for shape, box in item.drawn:
        entry = ElementTree.SubElement(root, "object")
        for key, value in (("name", names[shape.class_index]), ("truncated", "0"), ("difficult", "0")):
            ElementTree.SubElement(entry, key).text = value
        sides = ElementTree.SubElement(entry, "bndbox")
        for key, side in zip(("xmin", "ymin", "xmax", "ymax"), (box[0] + 1, box[1] + 1, *box[2:]), strict=True):
            ElementTree.SubElement(sides, key).text = f"{side:g}"
    ElementTree.indent(root)
    write_text(path, ElementTree.tostring(root, encoding="unicode") + "\n")


def write_png(found: Annotated, out: Path, pictures: Pictures) -> Path:
    """Write ``masks/``, indexed pictures as the run has them, and ``classes.txt``; returns the folder."""
    for item in found:
        pictures.place(item, out / "images")
        write_mask(out / "masks" / f"{item.id}.png", item.labels())
    write_text(out / "classes.txt", "".join(f"{name}\n" for name in found.class_names))
    return out


def read(path: Path, class_names: Sequence[str] | None) -> Corrections:
    """Pictures of classes: with a ``labelmap.txt`` by its colours, else by their numbers.

    Raises:
        DataError: there are none, or one has a colour or number that stands for no class.
    """
    coloured = (path / LABELS).is_file()
    folder = next((path / name for name in (CLASSES, "masks") if (path / name).is_dir()), path)
    files = sorted(folder.rglob("*.png"))
    if not files:
        raise DataError(f"{folder}: there is no PNG picture of masks: name the folder that holds them")
    values: dict[tuple[int, int, int], str] = _colours(path / LABELS) if coloured else {}
    listed = list(values.values())
    if not coloured and (path / "classes.txt").is_file():
        listed = [line.strip() for line in read_text(path / "classes.txt").splitlines() if line.strip()]
    names = numbering(class_names, [name for name in listed if name != IGNORED])

    def reader(file: Path) -> Callable[[], UInt8[np.ndarray, "H W"]]:
        return lambda: _by_colour(file, values, names) if coloured else _by_number(file, len(names))

    ids = [named(file.relative_to(folder).as_posix(), str(folder)) for file in files]
    return Corrections("masks", names, {key: reader(file) for key, file in zip(ids, files, strict=True)})


def _colours(file: Path) -> dict[tuple[int, int, int], str]:
    found: dict[tuple[int, int, int], str] = {}
    for line in read_text(file).splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        try:
            red, green, blue = (int(value) for value in rest.split(":")[0].split(","))
        except ValueError:
            raise DataError(f"{file}: the line {line!r} has no colour r,g,b: correct it") from None
        found[red, green, blue] = name.strip()
    return found


def _by_colour(file: Path, values: dict[tuple[int, int, int], str], names: Sequence[str]) -> UInt8[np.ndarray, "H W"]:
    with open_image(file) as image:
        pixels = np.asarray(image.convert("RGB"), np.int64)
    packed = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    found = np.zeros(packed.shape, np.uint8)
    for value in np.unique(packed).tolist():
        colour = (value >> 16, value >> 8 & 255, value & 255)
        name = values.get(colour)
        if name == IGNORED:
            found[packed == value] = IGNORE
        elif name is not None and name != BACKGROUND and name in names:
            found[packed == value] = names.index(name) + 1
        elif name != BACKGROUND and value:
            raise DataError(f"{file}: the colour {colour} stands for no class: add it to {LABELS}, or correct the mask")
    return found


def _by_number(file: Path, classes: int) -> UInt8[np.ndarray, "H W"]:
    with open_image(file) as image:
        found = np.array(image) if len(image.getbands()) == 1 else None
    if found is None:
        raise DataError(f"{file}: the mask is in colours and there is no {LABELS} to read them by: add it")
    wrong = [int(value) for value in np.unique(found) if classes < value != IGNORE] if classes else []
    if wrong:
        raise DataError(f"{file}: the mask holds {wrong[0]}, and there are {classes} classes: correct the mask")
    return found.astype(np.uint8)
