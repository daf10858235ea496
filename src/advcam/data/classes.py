"""Lists of class names, and what to say of a name that is not in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from advcam.data.ids import BadEntry
from advcam.data.text import read_text
from advcam.errors import DataError

# The name of a list of classes that lies in the data folder: one name a line, in the order of the mask values.
CLASS_FILE = "classes.txt"
BACKGROUND = "background"
VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

ClassList = Sequence[str] | Path


def known_classes(classes: ClassList | None, root: Path) -> tuple[str, ...] | None:
    """The class names that the user gave, or that ``classes.txt`` in the data folder gives, or None.

    A first name "background" is dropped: 0 always stands for the background, and names begin with 1.

    Raises:
        DataError: the file cannot be read, or the list is empty or names a class twice.
    """
    source: object = "the list of classes"
    if classes is None and (root / CLASS_FILE).is_file():
        classes = root / CLASS_FILE
    if classes is None:
        return None
    if isinstance(classes, str | Path):
        source = classes
        classes = read_text(Path(classes)).splitlines()
    names = [name.strip() for name in classes if name.strip()]
    if names and names[0].strip("_").lower() == BACKGROUND:
        del names[0]
    if not names:
        raise DataError(f"{source}: there is no class name in it: write one name a line")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{source}: the class {twice[0]!r} is listed twice: remove one of them")
    return tuple(names)


def class_indices(names: Sequence[str], index: Mapping[str, int]) -> tuple[int, ...]:
    """The classes of an image, ascending and unique; ``index`` gives the number of each name.

    Raises:
        BadEntry: a name is none of the classes.

    >>> class_indices(("dog", "cat", "dog"), {"cat": 0, "dog": 1})
    (0, 1)
    """
    for name in names:
        if name not in index:
            raise BadEntry(f"names the class {name!r}, which is {_unknown(name, tuple(index))}")
    return tuple(sorted({index[name] for name in names}))


def shortened(names: Sequence[str], most: int = 5) -> str:
    """The first few names, for a sentence.

    >>> shortened(("a", "b", "c"), most=2)
    'a, b, ...'
    """
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _unknown(name: str, known: tuple[str, ...]) -> str:
    lower = {other.lower(): other for other in known}
    close = get_close_matches(name.lower(), lower, n=1)
    if close:
        return f"none of the {len(known)} classes: did you mean {lower[close[0]]!r}?"
    return f"none of the {len(known)} classes ({shortened(known)}): correct it, or list all classes in {CLASS_FILE}"
