"""The cells of a label column taken apart into class names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from advcam.data.classes import is_background
from advcam.errors import DataError

_SEPARATORS = (";", "|", ",")
_QUOTED = re.compile(r"""'([^']*)'|"([^"]*)\"""")


def split_labels(
    path: Path, cells: Sequence[str | tuple[str, ...]], known: Sequence[str] | None
) -> list[tuple[str, ...] | None]:
    """The class names in each cell; None where a cell is empty, () where it says ``background`` or is an empty list.

    A cell as Python or JSON write a list, ``['cat', 'dog']``, is that list. For the others one separator holds for
    the whole column: ``;`` if any cell has one, else ``|``, else ``,``. Without any of them a blank separates names,
    but only where it cannot be part of one: with a list of ``known`` classes, a cell that is
    none of them is taken apart if its parts are; without a list, if each of its parts is a whole cell elsewhere. So
    "traffic light" stays one class and "cat dog" becomes two. A cell that is a known class is never taken apart.

    Raises:
        DataError: a cell may be one class or several, and nothing tells which.

    >>> split_labels(Path("labels.csv"), ["cat dog", "dog", "cat", "traffic light", "", "background"], None)
    [('cat', 'dog'), ('dog',), ('cat',), ('traffic light',), None, ()]
    """
    whole = set(known if known is not None else ())
    cells = [cell if isinstance(cell, tuple) or cell in whole else _written_list(cell) for cell in cells]
    open_cells = {cell for cell in cells if isinstance(cell, str) and cell not in whole}
    separator = next((mark for mark in _SEPARATORS if any(mark in cell for cell in open_cells)), None)
    if separator is None and known is None:
        whole = {cell for cell in open_cells if " " not in cell}
    found: dict[str, tuple[str, ...]] = {}
    for cell in open_cells:
        if separator is not None:
            found[cell] = tuple(name for part in cell.split(separator) if (name := part.strip()))
        else:
            found[cell] = _at_blanks(path, cell, whole, guess=known is None)
    return [_names(cell, found) for cell in cells]


def _written_list(cell: str) -> str | tuple[str, ...]:
    """The names of a list that was written as text; anything else as it is.

    >>> _written_list("['cat', 'traffic light']"), _written_list("[cat, dog]"), _written_list("[]"), _written_list("a")
    (('cat', 'traffic light'), ('cat', 'dog'), (), 'a')
    """
    if (cell[:1], cell[-1:]) not in (("[", "]"), ("{", "}"), ("(", ")")) or len(cell) < 2:
        return cell
    quoted = tuple((single or double).strip() for single, double in _QUOTED.findall(cell))
    if quoted:
        return quoted
    if cell[0] != "[":
        return cell
    return tuple(name for part in re.split("[;|,]", cell[1:-1]) if (name := part.strip()))


def _at_blanks(path: Path, cell: str, whole: set[str], guess: bool) -> tuple[str, ...]:
    parts = tuple(cell.split())
    names = [part for part in parts if part in whole]
    if len(parts) < 2 or len(names) == len(parts):
        return parts
    if guess and names:
        raise DataError(
            f"{cell!r} may be one class or several, since {names[0]!r} is a class by itself: write ';' between "
            "classes, or list the classes in classes.txt, one a line",
            path,
        )
    return parts if names else (cell,)


def _names(cell: str | tuple[str, ...], found: dict[str, tuple[str, ...]]) -> tuple[str, ...] | None:
    names = found.get(cell, (cell,)) if isinstance(cell, str) else tuple(name for name in cell if name)
    if isinstance(cell, str) and not any(names):
        return None
    return () if all(map(is_background, names)) else names
