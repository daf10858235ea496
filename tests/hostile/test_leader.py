"""The helpers of a command that was killed end with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from advcam.data.record import Record
from advcam.pipeline.engines import Piece, Processes
from advcam.pipeline.parts import Batch
from advcam.training.items import in_batches

SECONDS = 2.0


def read(item: int) -> int:
    time.sleep(60 * item)
    return item


def that_loads_a_training(folder: Path) -> None:
    for _ in in_batches([0, 0, 1, 1], read, batch_size=1, workers=2, processes=1):
        for helper in multiprocessing.active_children():
            (folder / str(helper.pid)).touch()


def build(folder: Path, device: torch.device) -> object:
    (folder / str(os.getpid())).touch()
    time.sleep(60)
    return device


def that_works_on_images(folder: Path) -> None:
    hands = Processes(partial(build, folder), 1, "cpu", 1)
    given = hands.give(Piece([Batch((Record("a", Path("a"), (0,)),))]), {})
    hands.take([given])


@pytest.mark.parametrize("leader", [that_loads_a_training, that_works_on_images])
def test_helpers_end_with_who_started_them(tmp_path: Path, leader: Callable[[Path], None]) -> None:
    child = os.fork()
    if child == 0:
        leader(tmp_path)
        os._exit(0)
    until = time.monotonic() + 100
    while not any(tmp_path.iterdir()) and time.monotonic() < until:
        time.sleep(0.02)
    helpers = [int(path.name) for path in tmp_path.iterdir()]
    assert helpers
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    time.sleep(SECONDS)
    assert not [helper for helper in helpers if there(helper)]


def there(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
