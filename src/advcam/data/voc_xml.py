"""PASCAL VOC's annotation files: the names of the objects, and their boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from xml.etree import ElementTree

from advcam.data.classes import is_background
from advcam.data.ids import BadEntry
from advcam.data.record import Box


@dataclass(frozen=True)
class Annotation:
    """What one file says: ``names`` of objects, ``parts`` of them (head, hand, foot), and boxes with their names.

    Boxes are ``x0 <= x < x1`` and ``y0 <= y < y1``; the files count pixels from 1 and include the last one.
    """

    names: tuple[str, ...]
    parts: tuple[str, ...]
    named_boxes: tuple[tuple[str, float, float, float, float], ...]

    def boxes(self, index: Mapping[str, int]) -> tuple[Box, ...]:
        """The boxes of the known classes."""
        return tuple(Box(index[name], *corners) for name, *corners in self.named_boxes if name in index)


def read_annotation(path: Path) -> Annotation | None:
    """The annotation in a file; None where there is no such file.

    Raises:
        BadEntry: the file is not XML, an object has no name, or a box has no four finite numbers.
    """
    try:
        objects = ElementTree.parse(path).getroot().findall("object")
    except FileNotFoundError:
        return None
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise BadEntry(f"has a broken annotation {path.name} ({error}): replace that file") from error
    named_boxes = []
    for item in objects:
        if not _name(item) or is_background(_name(item)):
            raise BadEntry(
                f"has an object {'called ' + _name(item) if _name(item) else 'without a name'} in {path.name}: give it "
                "the name of its class, or remove it"
            )
        if (box := item.find("bndbox")) is None:
            continue
        try:
            x0, y0, x1, y1 = (float(box.findtext(side, "")) for side in ("xmin", "ymin", "xmax", "ymax"))
            if not all(map(isfinite, (x0, y0, x1, y1))):
                raise ValueError("not finite")
        except ValueError as error:
            raise BadEntry(f"has a box without four numbers in {path.name}: correct that file") from error
        named_boxes.append((_name(item), x0 - 1, y0 - 1, x1, y1))
    names = tuple(_name(item) for item in objects)
    parts = tuple(_name(part) for item in objects for part in item.iter("part"))
    return Annotation(names, parts, tuple(named_boxes))


def _name(item: ElementTree.Element) -> str:
    return (item.findtext("name") or "").strip()
