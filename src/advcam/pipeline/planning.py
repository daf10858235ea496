"""Which images are worked on together. The plan covers the whole data set, whatever is already done or wanted.

Rounding in float32 depends on the batch, and a climb amplifies it. So the batches must not depend on where a run was
stopped, on how many processes share it, or on ``--limit``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Size = tuple[int, int]


@dataclass(frozen=True)
class Unit:
    """Images of one size, (height, width), that share batches, in the order of the data set."""

    size: Size
    ids: tuple[str, ...]


def plan(images: Iterable[tuple[str, Size, int]], max_pairs: Callable[[Size], int]) -> list[Unit]:
    """Group images of equal size into units of a bounded number of (image, class) pairs; at least one image each.

    Args:
        images: id, (height, width) and number of classes of every image, in the order of the data set.
        max_pairs: for a size, the largest number of pairs in a unit of several images.

    Returns:
        Units in the order of their first images.

    >>> units = plan([("a", (2, 3), 1), ("b", (3, 2), 1), ("c", (2, 3), 2), ("d", (2, 3), 1)], lambda size: 3)
    >>> [unit.ids for unit in units]
    [('a', 'c'), ('b',), ('d',)]
    """
    units: list[tuple[Size, list[str]]] = []
    filling: dict[Size, tuple[list[str], int]] = {}
    for image_id, size, classes in images:
        ids, pairs = filling.get(size, ([], 0))
        if not ids or pairs + classes > max_pairs(size):
            ids, pairs = [], 0
            units.append((size, ids))
        ids.append(image_id)
        filling[size] = ids, pairs + classes
    return [Unit(size, tuple(ids)) for size, ids in units]


def ahead(items: Sequence[Item], load: Callable[[Item], Loaded]) -> Iterator[Loaded]:
    """``load`` of every item in order, the next one loading in a thread while the caller works on the current one."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming: deque[Future[Loaded]] = deque()
        for item in items:
            coming.append(pool.submit(load, item))
            if len(coming) > 1:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
