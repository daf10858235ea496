"""Walking over several lists that have one entry per image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

from advcam.errors import DataError

_MISSING = object()


def per_image(**columns: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    """The entries of each image in turn; the columns may be generators.

    Raises:
        DataError: one column is shorter than another; said when its end is reached.

    >>> list(per_image(maps="ab", boxes=[1, 2]))
    [('a', 1), ('b', 2)]
    """
    for index, row in enumerate(zip_longest(*columns.values(), fillvalue=_MISSING)):
        missing = [name for name, value in zip(columns, row, strict=True) if value is _MISSING]
        if missing:
            raise DataError(f"image {index} has no entry in {' and '.join(missing)}; all must have one entry per image")
        yield row
