"""A run folder into one format with one call."""

from __future__ import annotations

from pathlib import Path

from advcam.export.item import What
from advcam.export.source import annotated, open_view
from advcam.export.write import write

# Below the run folder, a folder for each format.
FOLDER = "export"


def coco(run: str | Path, out: str | Path | None = None, what: What = "masks", pictures: bool | None = None) -> Path:
    """Write the masks, instances or boxes of a run as COCO's JSON; returns the file.

    Args:
        run: the run folder.
        out: the folder it goes to; ``export/coco`` in the run folder unless told.
        what: "masks", "instances" or "boxes".
        pictures: copy the pictures too; unless told, where the format's readers need them beside the annotations.

    Raises:
        RunError: the run has none of them.
    """
    return _export(run, out, "coco", what, pictures)


def cvat(run: str | Path, out: str | Path | None = None, what: What = "masks", pictures: bool | None = None) -> Path:
    """As :func:`coco`, CVAT's XML for images 1.1; returns the file."""
    return _export(run, out, "cvat", what, pictures)


def label_studio(
    run: str | Path, out: str | Path | None = None, what: What = "masks", pictures: bool | None = None
) -> Path:
    """As :func:`coco`, Label Studio's tasks with predictions, the doubt in their scores; returns the file."""
    return _export(run, out, "labelstudio", what, pictures)


def yolo(run: str | Path, out: str | Path | None = None, what: What = "masks", pictures: bool | None = None) -> Path:
    """As :func:`coco`, YOLO's segmentation labels with the pictures; returns ``data.yaml``."""
    return _export(run, out, "yolo-seg", what, pictures)


def _export(run: str | Path, out: str | Path | None, format: str, what: What, pictures: bool | None) -> Path:
    folder = Path(run) / FOLDER / format if out is None else Path(out)
    return write(annotated(open_view(run), what), folder, format, pictures=pictures)
