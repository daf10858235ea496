"""The items of a training as batches, for one process or several, the same whichever way they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from lightning_fabric import Fabric
from torch.utils.data import DataLoader, Dataset, Sampler

from advcam.errors import UserError
from advcam.training.machine import leave_interrupts, reading_processes
from advcam.training.settings import FitSettings
from advcam.training.task import ORDER, Task

Key = tuple[int, int]


class _Answers(Dataset[Any]):
    """What ``read`` makes of a key, and ``collate`` of several; a mistake of the user's is an answer too.

    A worker's exception would arrive as its traceback; as a value it arrives whole, and is raised on arrival.
    """

    def __init__(self, read: Callable[[Any], Any], collate: Callable[[list[Any]], Any]) -> None:
        self.read, self.collate = read, collate

    def __getitem__(self, key: Any) -> Any:
        try:
            return self.read(key)
        except UserError as error:
            return error

    def stack(self, items: list[Any]) -> Any:
        return next((item for item in items if isinstance(item, UserError)), None) or self.collate(items)

    def of(self, keys: Iterable[list[Any]], workers: int, pin_memory: bool = False) -> Iterator[Any]:
        """The batches of these keys, in order, read by so many processes."""
        loader = DataLoader(
            self,
            batch_sampler=keys,
            collate_fn=self.stack,
            num_workers=workers,
            worker_init_fn=leave_interrupts,
            pin_memory=pin_memory,
        )
        for batch in loader:
            if isinstance(batch, UserError):
                raise batch
            yield batch


def in_batches(
    items: Sequence[Any], read: Callable[[Any], Any], batch_size: int, workers: int | None, processes: int
) -> Iterator[list[Any]]:
    """What ``read`` makes of each item, in batches and in order; read by as many processes as a training has.

    >>> list(in_batches([1, 2, 3], str, batch_size=2, workers=0, processes=1))
    [['1', '2'], ['3']]
    """
    keys = [list(items[start : start + batch_size]) for start in range(0, len(items), batch_size)]
    return _Answers(read, list).of(keys, reading_processes(workers, processes))


class Batches(Sampler[list[Key]]):
    """The passes of a training as lists of ``(epoch, index)``, from update ``first`` up to update ``total``.

    The order of an epoch depends on the seed and the epoch alone. An update's ``batch_size`` items are split over
    ``accumulate`` passes, and each pass over ``world`` processes; what remains of an epoch after its last whole batch
    is left out.

    >>> batches = Batches(5, FitSettings(batch_size=2), first=1, total=4)
    >>> [[epoch for epoch, _ in batch] for batch in batches]
    [[0, 0], [1, 1], [1, 1]]
    """

    def __init__(
        self, items: int, settings: FitSettings, first: int, total: int, rank: int = 0, world: int = 1
    ) -> None:
        self.items, self.settings, self.first, self.total = items, settings, first, total
        self.rank, self.world = rank, world

    def __len__(self) -> int:
        return (self.total - self.first) * self.settings.accumulate

    def __iter__(self) -> Iterator[list[Key]]:
        size, passes = self.settings.batch_size, self.settings.accumulate
        per_epoch, order, known = self.items // size, np.zeros(0, np.int64), -1
        for update in range(self.first, self.total):
            epoch, place = divmod(update, per_epoch)
            if epoch != known:
                order, known = np.random.default_rng((self.settings.seed, ORDER, epoch)).permutation(self.items), epoch
            for part in order[place * size : (place + 1) * size].reshape(passes, -1):
                yield [(epoch, int(index)) for index in part[self.rank :: self.world]]


def check_shares(task: Task, devices: int) -> None:
    """Refuse a batch that passes and devices cannot share."""
    settings = task.settings
    size, parts = settings.batch_size, settings.accumulate * devices
    shared = (
        f"{settings.section}accumulate={settings.accumulate} passes on {devices} device{'s' if devices > 1 else ''}"
    )
    if size % parts:
        raise settings.wrong("batch_size", f"cannot be shared equally by {shared}: choose a multiple of {parts}")
    if size // parts < task.fewest_items:
        raise settings.wrong(
            "batch_size",
            f"{shared} leave {size // parts} to a pass, and batch norm needs {task.fewest_items}: "
            f"set it to {parts * task.fewest_items} or more, or use fewer passes or devices",
        )


def batches_of(task: Task, first: int, total: int, fabric: Fabric) -> Iterator[Any]:
    """The batches of this process from update ``first`` up to update ``total``, on the CPU."""
    settings = task.settings
    here = fabric.world_size // max(1, getattr(fabric.strategy, "num_nodes", 1))
    keys = Batches(len(task), settings, first, total, fabric.global_rank, fabric.world_size)
    answers = _Answers(partial(_item, task), task.collate)
    return answers.of(keys, reading_processes(settings.workers, here), pin_memory=fabric.device.type == "cuda")


def _item(task: Task, key: Key) -> Any:
    return task.item(*key)
