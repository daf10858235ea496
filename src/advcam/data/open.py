"""One door to every format: what lies at a path is recognised, and read as one kind of image set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from advcam.data.box_table import BOX_FILE, WithBoxes
from advcam.data.class_folders import ClassFolders
from advcam.data.classes import ClassList, known_classes
from advcam.data.coco import COCO
from advcam.data.cub import CUB
from advcam.data.cub import LABELS as CUB_LABELS
from advcam.data.folder import TableFolder
from advcam.data.imagenet import DATA as IMAGENET_DATA
from advcam.data.imagenet import ImageNet
from advcam.data.images import IMAGE_SUFFIXES
from advcam.data.listing import data_folders, list_images
from advcam.data.mvtec import MVTec, is_mvtec
from advcam.data.reader import Reader
from advcam.data.record import ImageSet, Problem
from advcam.data.shards import Shards, at_url, expanded
from advcam.data.table import SUFFIXES as TABLE_SUFFIXES
from advcam.data.voc import VOC
from advcam.data.voc_labels import IMAGES as VOC_IMAGES
from advcam.data.wsol import IDS as WSOL_IDS
from advcam.data.wsol import WSOL
from advcam.errors import DataError

SPLIT_FOLDERS = ("train", "training", "val", "valid", "validation", "dev", "test", "testing")
_TABLE_NAMES = ("metadata", "labels", "image_labels", "annotations")
_COCO_EXPORT = "_annotations.coco.json"


def open_dataset(
    path: str | Path,
    split: str | None = None,
    *,
    labels: str | Path | None = None,
    classes: ClassList | None = None,
    skip_bad: bool = False,
) -> ImageSet:
    """The labelled images of a data set in any of the formats that are read; ``.format`` says which one it was.

    Recognised are, in this order: the WSOL text files (``image_ids.txt``), CUB-200-2011 and ImageNet (ILSVRC) as they
    are distributed, the layouts of MVTec (``train/good``, ``test``) and of PASCAL VOC (``JPEGImages``), COCO
    (``annotations/*.json``, or the JSON file itself), a folder with a label table (``metadata.csv``, ``labels.csv`` or
    the only table there; CSV, TSV or JSON lines; or the table itself), and one folder for each
    class; and tar files of samples (webdataset). A URL is read as ``shards.py`` says. The images are in the order of
    their ids. No image is opened: ``leave_out_unreadable`` does that.

    Args:
        path: the folder, or the file with the labels.
        split: one of ``splits(path)``. Needed where a data set has several lists (VOC, COCO, WSOL); without it a
            folder is read as a whole.
        labels: a table, ``cls_labels.npy``, COCO's JSON or a folder of WSOL lists that lies elsewhere or has another
            name.
        classes: the class names in the order of the mask values, or a text file with one a line; unless told,
            ``classes.txt`` in the folder, or what the format says.
        skip_bad: leave out what cannot be used and list it in ``left_out``, instead of raising.

    Raises:
        DataError: the format is not known, the labels cannot be read, the split does not exist, no image is left, or
            (without ``skip_bad``) an entry cannot be used; the first one is named.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = [(folder / name).write_bytes(b"x") for name in ("a.jpg", "b.jpg")]
    >>> _ = (folder / "labels.csv").write_text("image,labels\\na.jpg,cat\\nb.jpg,cat;dog\\n")
    >>> image_set = open_dataset(folder)
    >>> image_set.class_names, [record.classes for record in image_set.records]
    (('cat', 'dog'), [(0,), (0, 1)])
    """
    image_set = recognise(path, labels=labels, classes=classes).read(split)
    if wrong := surely_wrong(path, image_set.class_names):
        raise DataError(wrong.message, wrong.file)
    problems = image_set.left_out
    if problems and not skip_bad:
        more = f"{len(problems) - 1} more, which advcam doctor lists; " if len(problems) > 1 else ""
        raise DataError(f"{problems[0]} ({more}skip_bad goes on without)")
    if not image_set.records:
        first = f" (first: {problems[0]})" if problems else ""
        raise DataError(f"there is no image that can be used{first}: check the data with advcam doctor", path)
    return image_set


def surely_wrong(path: str | Path, class_names: Sequence[str]) -> Problem | None:
    """What is wrong with a list of classes whatever the data are: its names are those of splits.

    >>> surely_wrong("photos", ("test", "train")).message[:50]
    'its classes would be called test, train, which are'
    """
    if len(class_names) > 1 and {name.lower() for name in class_names} <= set(SPLIT_FOLDERS):
        message = (
            f"its classes would be called {', '.join(class_names)}, which are names of splits: put a folder for each "
            "class into each of them, or add a table with a column split"
        )
        return Problem(str(path), message)
    return None


def splits(path: str | Path, *, labels: str | Path | None = None) -> tuple[str, ...]:
    """The splits of a data set; none where it is not divided.

    Raises:
        DataError: as ``open_dataset``.
    """
    return recognise(path, labels=labels).splits()


def recognise(path: str | Path, *, labels: str | Path | None = None, classes: ClassList | None = None) -> Reader:
    """The reader for what lies at a path; see ``open_dataset``.

    Raises:
        DataError: there is nothing, or nothing that is known.
    """
    if "://" in str(path):
        return at_url(str(path), classes)
    if str(path).endswith(".tar"):
        return Shards(Path(path).parent, expanded(str(path)), classes)
    path = Path(path)
    labels = Path(labels) if labels is not None else None
    if not path.exists():
        raise DataError("there is no such file or folder: correct the path", path)
    if labels is not None and not labels.exists():
        raise DataError("there is no such file or folder: correct the path of the labels", labels)
    if path.is_file():
        if labels is not None:
            raise DataError("labels are given as well, so the data must be the folder of the images: name it", path)
        return _from_file(path, classes)
    if labels is not None and not (labels.suffix == ".npy" or _is_voc(path)):
        return _with_labels(path, labels, classes)
    return _from_folder(path, labels, classes)


def _from_file(path: Path, classes: ClassList | None) -> Reader:
    if path.suffix.lower() == ".json":
        return COCO(_coco_root(path), {_coco_split(path): path}, classes)
    if path.suffix.lower() in TABLE_SUFFIXES:
        return _with_boxes(TableFolder(path.parent, {None: path}, classes), path.parent)
    if path.name == WSOL_IDS:
        return WSOL({path.parent.name: path.parent}, classes=classes)
    raise DataError(
        "this is neither a label table (CSV, TSV, JSONL) nor COCO's JSON: name the folder of the data", path
    )


def _with_labels(path: Path, labels: Path, classes: ClassList | None) -> Reader:
    """Images in one place, labels in another."""
    if labels.is_dir():
        if lists := _wsol_lists(labels):
            return WSOL(lists, images=path, classes=classes)
        raise DataError(f"there is no {WSOL_IDS} in this folder or below it: name the file with the labels", labels)
    if labels.suffix.lower() == ".json":
        return COCO(path, {_coco_split(labels): labels}, classes)
    if labels.suffix.lower() in TABLE_SUFFIXES:
        return _with_boxes(TableFolder(path, {None: labels}, classes), path)
    raise DataError("labels are read from CSV, TSV, JSONL, COCO's JSON or cls_labels.npy: convert the file", labels)


def _from_folder(path: Path, labels: Path | None, classes: ClassList | None) -> Reader:
    if (reader := _known_layout(path, labels, classes)) is not None:
        return reader
    if labels is not None:
        raise DataError(f"this file belongs to the layout of VOC, but {path} has no {VOC_IMAGES}: use a CSV", labels)
    if shards := sorted(map(str, path.glob("*.tar"))):
        return Shards(path, tuple(shards), classes)
    return _with_boxes(_plain_folder(path, classes), path)


# The layouts that are known by what they hold, in the order in which they are tried; and where else they may begin.
_LAYOUTS: tuple[tuple[Callable[[Path], bool], Callable[..., Reader], tuple[str, ...]], ...] = (
    (lambda root: (root / CUB_LABELS).is_file(), CUB, ("CUB_200_2011",)),
    (lambda root: (root / IMAGENET_DATA).is_dir(), ImageNet, ("ILSVRC",)),
    (is_mvtec, MVTec, ()),
    (lambda root: _is_voc(root), VOC, ("VOC2012", "VOCdevkit/VOC2012")),
)


def _known_layout(path: Path, labels: Path | None = None, classes: ClassList | None = None) -> Reader | None:
    """The reader of a folder that needs no table; None for a folder of tables or classes."""
    if lists := _wsol_lists(path):
        return WSOL(lists, classes=classes)
    for holds, reader, places in _LAYOUTS:
        for root in (path, *(path / place for place in places)):
            if holds(root):
                return VOC(root, labels, classes) if reader is VOC else reader(root, classes)
    if labels is None and (files := _coco_files(path)):
        return COCO(path, files, classes)
    return None


def _with_boxes(reader: Reader, folder: Path) -> Reader:
    return WithBoxes(reader, folder / BOX_FILE) if (folder / BOX_FILE).is_file() else reader


def _plain_folder(path: Path, classes: ClassList | None) -> Reader:
    """A folder with a label table, or with one folder for each class."""
    if (table := _table(path)) is not None:
        return TableFolder(path, {None: table}, classes)
    parts = [folder for folder in SPLIT_FOLDERS if (path / folder).is_dir()]
    tables: dict[str | None, Path] = {folder: table for folder in parts if (table := _table(path / folder)) is not None}
    if tables:
        return TableFolder(path, tables, classes)
    folders = data_folders(path)
    if inner := [folder.name for folder in folders if _known_layout(folder) is not None]:
        raise DataError(f"there are data sets in its folders ({', '.join(inner)}): name one of them", path)
    if folders and not _has_images(path):
        return _class_folders(path, [folder.name for folder in folders], classes)
    raise DataError(
        "no labels are found: add a table labels.csv with the columns image and labels, or put the images "
        "into one folder for each class (VOC, COCO and WSOL layouts are known too)",
        path,
    )


def _class_folders(path: Path, folders: list[str], classes: ClassList | None) -> ClassFolders:
    """Folders of classes, or of splits with folders of classes in them.

    Raises:
        DataError: one folder is called like a split, and nothing tells whether it is one or a class.
    """
    known = known_classes(classes, path) or ()
    inner = [name for name in folders if name in SPLIT_FOLDERS and name not in known and data_folders(path / name)]
    others = [name for name in folders if name not in inner]
    if not inner:
        return ClassFolders(path, {None: ""}, classes)
    foreign = [name for name in others if name not in SPLIT_FOLDERS and list_images(path / name).files]
    if len(inner) == 1 and foreign:
        raise DataError(
            f"{inner[0]} may be a split or a class, since it holds folders of its own and {foreign[0]} lies beside it: "
            f"name {path / inner[0]} as the data, move {foreign[0]} away, or list the classes in classes.txt",
            path,
        )
    return ClassFolders(path, {name: name for name in inner}, classes, tuple(others))


def _is_voc(path: Path) -> bool:
    return (path / VOC_IMAGES).is_dir()


def _wsol_lists(path: Path) -> dict[str, Path]:
    if (path / WSOL_IDS).is_file():
        return {path.name: path}
    return {folder.parent.name: folder.parent for folder in sorted(path.glob(f"*/{WSOL_IDS}"))}


def _coco_files(path: Path) -> dict[str, Path]:
    """The annotation files by split: of several kinds only those of object instances."""
    files = sorted((path / "annotations").glob("*.json"))
    instances = [file for file in files if file.name.startswith("instances_")]
    exports = sorted(path.glob(f"*/{_COCO_EXPORT}")) + sorted(path.glob(_COCO_EXPORT))
    return {_coco_split(file): file for file in instances or files or exports}


def _coco_split(path: Path) -> str:
    return path.parent.name if path.name == _COCO_EXPORT else path.stem.removeprefix("instances_")


def _coco_root(path: Path) -> Path:
    return path.parent.parent if path.parent.name == "annotations" else path.parent


def _table(path: Path) -> Path | None:
    """The label table of a folder: one of the usual names, or the only table there is."""
    tables = sorted(file for file in path.iterdir() if _may_hold_labels(file))
    usual = [file for name in _TABLE_NAMES for file in tables if file.stem.lower() == name]
    if usual or len(tables) == 1:
        return (usual or tables)[0]
    if tables:
        names = ", ".join(file.name for file in tables[:5])
        raise DataError(f"there are several tables ({names}): say with labels which one holds the labels", path)
    return None


def _may_hold_labels(file: Path) -> bool:
    return file.suffix.lower() in TABLE_SUFFIXES and file.name != BOX_FILE and file.is_file()


def _has_images(path: Path) -> bool:
    return any(file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".") for file in path.iterdir())
