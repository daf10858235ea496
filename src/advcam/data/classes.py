"""Lists of class names, and what to say of a name that is not in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from advcam.data.ids import BadEntry
from advcam.data.text import read_text
from advcam.errors import DataError, shortened

# The name of a list of classes that lies in the data folder: one name a line, in the order of the mask values.
CLASS_FILE = "classes.txt"
BACKGROUND = "background"
# Maps hold the number of a class in 16 bits.
MOST_CLASSES = 2**15 - 1
# Above so many names no nearest one is looked for: that takes longer the more there are, for every wrong name.
_COMPARED = 1000
VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

ClassList = Sequence[str] | Path


def is_background(name: str) -> bool:
    """Whether a name stands for "none of the classes", which is never a class of its own.

    >>> is_background("Background"), is_background("__background__"), is_background("ground")
    (True, True, False)
    """
    return name.strip("_ ").lower() == BACKGROUND


def known_classes(classes: ClassList | None, root: Path, *, numbered: bool = False) -> tuple[str, ...] | None:
    """The class names that the user gave, or that ``classes.txt`` in the data folder gives, or None.

    A first name "background" is dropped: 0 always stands for the background, and names begin with 1. Where labels are
    ``numbered`` from 0 without a background, that would move every class, so it is refused.

    Raises:
        DataError: the file cannot be read, or the list is empty, names a class twice or has too many names.
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
    if names and is_background(names[0]) and not numbered:
        del names[0]
    if not names:
        raise DataError("there is no class name in it: write one name a line", source)
    if any(map(is_background, names)):
        where = "labels count from 0 without it" if numbered else "it can only be the first name"
        raise DataError(f"it names {BACKGROUND!r} as a class, but {where}: remove that line", source)
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise DataError(f"the class {twice[0]!r} is listed twice: remove one of them", source)
    return check_count(names, source)


def check_count(names: Iterable[str], source: object) -> tuple[str, ...]:
    """The names, unless there are more than can be numbered.

    Raises:
        DataError: there are.
    """
    names = tuple(names)
    if len(names) > MOST_CLASSES:
        raise DataError(
            f"there are {len(names)} classes ({shortened(names)}), and at most {MOST_CLASSES} can be numbered: check "
            "that the column of the labels holds class names, or leave some out",
            source,
        )
    return names


def class_indices(names: Sequence[str], index: Mapping[str, int]) -> tuple[int, ...]:
    """The classes of an image, ascending and unique; ``index`` gives the number of each name.

    Raises:
        BadEntry: a name is none of the classes, or ``background`` stands beside one.

    >>> class_indices(("dog", "cat", "dog"), {"cat": 0, "dog": 1}), class_indices(("background",), {"cat": 0})
    ((0, 1), ())
    """
    if any(map(is_background, names)):
        if others := [name for name in names if not is_background(name)]:
            raise BadEntry(
                f"names {BACKGROUND!r} beside {others[0]!r}, but it says that the image shows none of the classes: "
                "remove one of them"
            )
        return ()
    for name in names:
        if name not in index:
            raise BadEntry(f"names the class {name!r}, which is {_unknown(name, tuple(index))}")
    return tuple(sorted({index[name] for name in names}))


def _unknown(name: str, known: tuple[str, ...]) -> str:
    lower = {other.lower(): other for other in known[:_COMPARED]}
    close = get_close_matches(name[:100].lower(), lower, n=1)
    if close:
        return f"none of the {len(known)} classes: did you mean {lower[close[0]]!r}?"
    return f"none of the {len(known)} classes ({shortened(known)}): correct it, or list all classes in {CLASS_FILE}"
