"""Corrected masks back from an annotation tool, whichever it was."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from advcam.errors import DataError
from advcam.export.formats import coco, cvat, label_studio, labelme, voc, yolo
from advcam.export.item import Corrections

# What an archive may hold once it is unpacked.
MAX_FILES, MAX_BYTES = 500_000, 64 * 2**30


def read(path: str | Path, class_names: Sequence[str] | None = None) -> Corrections:
    """The masks in a tool's export: a file, a folder, or an archive of either.

    CVAT's XML and "Segmentation mask", Label Studio's JSON, COCO, VOC, folders of PNG masks, YOLO and labelme are told
    apart by their files. Masks are drawn when they are asked for.

    Args:
        path: what the tool exported.
        class_names: the classes in the order of the mask values; those of the export unless told.

    Returns:
        A mapping from image ids to masks, 0 background, class + 1, 255 ignore.

    Raises:
        DataError: the export is of no kind that is known, or is broken; or it names other classes.

    >>> import numpy as np, tempfile
    >>> from advcam.data.masks import write_mask
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_mask(folder / "cats" / "1.png", np.ones((4, 4), np.uint8))
    >>> {key: mask.max() for key, mask in read(folder, ("cat",)).items()}
    {'cats/1': np.uint8(1)}
    """
    where = Path(path)
    if where.is_file() and where.suffix.lower() == ".zip":
        return _read_archive(where, class_names)
    if where.is_file():
        return _read_file(where, class_names)
    if not where.is_dir():
        raise DataError(f"{where}: there is no such file or folder: correct the path")
    if (where / cvat.FILE).is_file():
        return cvat.read(where, class_names)
    if (where / label_studio.FILE).is_file():
        return label_studio.read(where, class_names)
    if (where / yolo.FILE).is_file():
        return yolo.read(where, class_names)
    if (where / voc.LABELS).is_file() or (where / voc.CLASSES).is_dir() or (where / "masks").is_dir():
        return voc.read(where, class_names)
    if any(where.glob("annotations/*.json")):
        return coco.read(where, class_names)
    files = sorted(where.glob("*.json"))
    if len(files) == 1 and not _is_labelme(files[0]):
        return _read_file(files[0], class_names)
    if any(where.rglob("*.json")):
        return labelme.read(where, class_names)
    return voc.read(where, class_names)


def _read_file(file: Path, class_names: Sequence[str] | None) -> Corrections:
    suffix = file.suffix.lower()
    if suffix == ".xml":
        return cvat.read(file, class_names)
    if suffix in (".yaml", ".yml"):
        return yolo.read(file, class_names)
    if suffix == ".json":
        kind = label_studio if _first_character(file) == "[" else coco
        return kind.read(file, class_names)
    raise DataError(
        f"{file}: masks are read from CVAT's XML, Label Studio's or COCO's JSON, folders of PNG files, or a zip of them"
    )


def _first_character(file: Path) -> str:
    try:
        with file.open(encoding="utf-8-sig") as opened:
            return opened.read(1024).lstrip()[:1]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: this is no JSON ({error}): export it again") from error


def _is_labelme(file: Path) -> bool:
    with file.open("rb") as opened:
        return b'"shapes"' in opened.read(4096)


def _read_archive(file: Path, class_names: Sequence[str] | None) -> Corrections:
    """Unpack into a temporary folder, which goes when the last reference to the masks goes."""
    folder = tempfile.TemporaryDirectory(prefix="advcam-import-")
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_FILES or sum(entry.file_size for entry in entries) > MAX_BYTES:
                raise DataError(f"{file}: unpacked it is larger than masks can be: unpack it, and name the folder")
            # Names that lead out of the folder lose what leads there.
            archive.extractall(folder.name)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise DataError(f"{file}: the archive cannot be unpacked ({error}): export it again") from error
    inner = [entry for entry in Path(folder.name).iterdir() if entry.name != "__MACOSX"]
    found = read(inner[0] if len(inner) == 1 else Path(folder.name), class_names)
    return replace(found, source=folder)
