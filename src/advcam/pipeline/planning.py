"""Which images are worked on together. The plan covers the whole data set, whatever is already done or wanted.

Rounding in float32 depends on the batch, and a climb amplifies it. So the batches must not depend on where a run was
stopped, on how many processes share it, or on ``--limit``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Unit:
    """Images of one size that share batches, in the order of the data set."""

    size: tuple[int, int]
    ids: tuple[str, ...]


def plan(images: Iterable[tuple[str, tuple[int, int], int]], max_pairs: int) -> list[Unit]:
    """Group images of equal size into units of at most ``max_pairs`` (image, class) pairs; at least one image each.

    Args:
        images: id, (height, width) and number of classes of every image, in the order of the data set.
        max_pairs: the largest number of pairs in a unit of several images.

    >>> plan([("a", (2, 3), 1), ("b", (3, 2), 1), ("c", (2, 3), 2), ("d", (2, 3), 1)], max_pairs=3)
    [Unit(size=(2, 3), ids=('a', 'c')), Unit(size=(3, 2), ids=('b',)), Unit(size=(2, 3), ids=('d',))]
    """
    open_units: dict[tuple[int, int], tuple[list[str], int]] = {}
    closed: list[Unit] = []
    order: dict[str, int] = {}
    for position, (image_id, size, classes) in enumerate(images):
        order[image_id] = position
        ids, pairs = open_units.get(size, ([], 0))
        if ids and pairs + classes > max_pairs:
            closed.append(Unit(size, tuple(ids)))
            ids, pairs = [], 0
        open_units[size] = ([*ids, image_id], pairs + classes)
    closed += [Unit(size, tuple(ids)) for size, (ids, _) in open_units.items()]
    return sorted(closed, key=lambda unit: order[unit.ids[0]])


def shard(units: Sequence[Unit], rank: int, world: int) -> list[Unit]:
    """The units of one of several processes: every ``world``-th, so that all get sizes alike."""
    return list(units[rank::world])
