"""Ray as an engine: the bytes of one process, and what is told where it is not installed."""

from __future__ import annotations

import importlib.util
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import contents, entry

from advcam.data.record import Record
from advcam.errors import SettingsError
from advcam.pipeline import ray_engine
from advcam.pipeline.engines import Driver, pieces
from advcam.pipeline.graph import run_stages
from advcam.pipeline.parts import Batch, Outcome, in_turn

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'advcam[ray]'")


class Deadly:
    """Work that ends its process at one image; it stands for a network that takes all memory there."""

    threaded = True

    def __init__(self, device: torch.device) -> None:
        pass

    def load(self, batch: Batch) -> str:
        return batch.records[0].id

    def make(self, batch: Batch, loaded: str) -> str:
        if loaded == "05":
            os.kill(os.getpid(), signal.SIGKILL)
        return loaded

    def save(self, batch: Batch, made: str, missing: Any) -> Outcome:
        return Outcome(told={made: 1})  # type: ignore[arg-type]


@pytest.mark.slow
@needs_ray
def test_tasks_of_ray_make_the_bytes_of_one_process_and_name_a_deadly_image(config, monkeypatch):
    # Where the workers find what this file imports.
    here = [str(Path(__file__).parents[1] / "support"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, here)))
    alone = replace(config, out=config.out + " alone")
    run_stages(alone, ("classify", "attribute"))
    run_stages(config, ("classify",))
    run_stages(replace(config, engine="ray", processes=1), ("attribute",))
    assert contents(config, "advcam/maps", "cam/maps") == contents(alone, "advcam/maps", "cam/maps")
    assert entry(config, "advcam/maps").status == "done"
    batches = in_turn([Record(f"{number:02}", Path(), ()) for number in range(8)])
    missing = {batch.records[0].id: frozenset({"maps"}) for batch in batches}
    hands = ray_engine.RayHands(Deadly, "cpu", None, 1)
    found = list(Driver(hands, missing).through(pieces(batches, 4)))
    assert sorted(batch.records[0].id for batch, _ in found) == sorted(missing)
    assert [outcome.died for _, outcome in found if outcome.died] == [["05"]]


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(ray_engine, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"advcam\[ray\]"):
        ray_engine.RayHands(Deadly, "cpu", None, 1)
