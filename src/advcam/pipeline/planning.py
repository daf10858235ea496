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


def shares(units: Sequence[Unit], costs: Sequence[float], count: int) -> list[list[Unit]]:
    """Units divided among processes so that each has about the same to do; every share in the order of the plan.

    The costliest unit goes to whoever has least, then the next: the same split whoever computes it.

    >>> units = [Unit((2, 3), (name,)) for name in "abcd"]
    >>> [[unit.ids[0] for unit in share] for share in shares(units, [1, 4, 2, 3], 2)]
    [['a', 'b'], ['c', 'd']]
    """
    loads = [0.0] * count
    parts: list[list[int]] = [[] for _ in range(count)]
    for index in sorted(range(len(units)), key=lambda index: (-costs[index], index)):
        least = min(range(count), key=loads.__getitem__)
        parts[least].append(index)
        loads[least] += costs[index]
    return [[units[index] for index in sorted(part)] for part in parts]


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


class Behind:
    """Calls that run in a thread, in order, while the caller goes on; few of them wait at a time.

    A call's error is raised at one of the next calls, or at the end of the block.
    """

    def __init__(self, waiting: int = 2) -> None:
        self.waiting = waiting
        self.pool = ThreadPoolExecutor(max_workers=1)
        self.futures: deque[Future[None]] = deque()

    def __enter__(self) -> Behind:
        return self

    def __call__(self, call: Callable[[], None]) -> None:
        self.futures.append(self.pool.submit(call))
        while len(self.futures) > self.waiting:
            self.futures.popleft().result()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for all that was given; what is being written is finished even where the caller failed."""
        self.pool.shutdown(wait=True, cancel_futures=kind is not None)
        if kind is None:
            for future in self.futures:
                future.result()
