"""The formats by name, and how a set is written in one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from advcam.errors import SettingsError
from advcam.export.formats import coco, cvat, label_studio, labelme, voc, yolo
from advcam.export.item import Annotated, What
from advcam.export.pictures import Pictures

Format = Literal["coco", "cvat", "cvat-masks", "labelstudio", "yolo-seg", "labelme", "voc", "png"]
FORMATS: tuple[str, ...] = get_args(Format)


@dataclass(frozen=True)
class Writer:
    """How one format is written."""

    write: Callable[[Annotated, Path, Pictures], Path]
    with_pictures: bool = False
    """What reads it looks for the pictures in its folder."""
    holds: tuple[What, ...] = get_args(What)


_WRITERS = {
    "coco": Writer(coco.write),
    "cvat": Writer(cvat.write),
    "cvat-masks": Writer(voc.write_for_cvat, holds=("masks", "instances")),
    "labelstudio": Writer(label_studio.write),
    "yolo-seg": Writer(yolo.write, with_pictures=True),
    "labelme": Writer(labelme.write, with_pictures=True),
    "voc": Writer(voc.write, with_pictures=True),
    "png": Writer(voc.write_png, holds=("masks",)),
}


def write(found: Annotated, out: str | Path, format: str, *, pictures: bool | None = None) -> Path:
    """Write a set for an annotation tool or a training.

    Args:
        found: class names, pictures and what is on them.
        out: the folder it goes to.
        format: one of ``FORMATS``.
        pictures: copy the pictures too; unless told, where the format's readers look for them beside the annotations.

    Returns:
        The file or the folder that the tool imports.

    Raises:
        SettingsError: there is no such format, or it cannot hold what is to be written.
        RunError: the folder cannot be written.
    """
    writer = _WRITERS.get(format)
    if writer is None:
        raise SettingsError(f"there is no format {format!r}: take one of {', '.join(FORMATS)}")
    if found.what not in writer.holds:
        able = [name for name, other in _WRITERS.items() if found.what in other.holds]
        raise SettingsError(f"{format} cannot hold {found.what}: take one of {', '.join(able)}")
    return writer.write(found, Path(out), Pictures(writer.with_pictures if pictures is None else pictures))
