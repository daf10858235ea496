"""What every training promises: the same seed gives the same tensors, also after a kill at any moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import two_ranks
from torch import Tensor
from trainings import TASKS, Pictures, train

from advcam.training import FitEvent
from advcam.training.items import Batches
from advcam.training.machine import seeded


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    return Pictures.draw(tmp_path_factory.mktemp("pictures"))


def equal(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def kill(event: FitEvent) -> None:
    raise InterruptedError


@pytest.mark.parametrize("name", TASKS)
def test_a_seed_gives_the_same_tensors_from_the_first_update(pictures: Pictures, tmp_path: Path, name: str) -> None:
    torch.manual_seed(1)
    first = TASKS[name](pictures)
    start = {key: value.clone() for key, value in first.network.state_dict().items()}
    result, expected = train(first, tmp_path / "one")
    assert not equal(start, expected)
    # A kill before any state was saved: everything begins again, whatever was drawn meanwhile.
    torch.manual_seed(2)
    with pytest.raises(InterruptedError):
        train(TASKS[name](pictures), tmp_path / "two", on_event=kill)
    assert not (tmp_path / "two" / "training.pt").exists()
    torch.manual_seed(3)
    again, found = train(TASKS[name](pictures), tmp_path / "two")
    assert equal(found, expected)
    assert (again.losses, again.validations) == (result.losses, result.validations)
    assert not equal(TASKS[name](pictures, seed=1).network.state_dict(), start)


@pytest.mark.slow
def test_under_torchrun_every_process_ends_with_the_stored_weights(tmp_path: Path) -> None:
    support = Path(two_ranks.__file__)
    environment = {"PYTHONPATH": f"{support.parent}:{os.environ.get('PYTHONPATH', '')}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(support)]
    subprocess.run([*command, str(tmp_path)], check=True, env=os.environ | environment)
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2))
    assert first == second
    assert all(found["stored"] for found in first.values())
    assert first.keys() == set(two_ranks.NAMES)
    # The supervised loss of CCT has nothing random in it: that of the first update is the mean over both halves.
    halves = []
    for rank in range(2):
        task = TASKS["cct"](Pictures.draw(tmp_path / "alone"), batch_size=4, updates=2)
        (keys,) = Batches(len(task), task.settings, first=0, total=1, rank=rank, world=2)
        task.set_train_mode()
        halves.append(task.loss(task.collate([task.item(*key) for key in keys]), 0, 2)["supervised"].item())
    assert first["cct"]["losses"]["supervised"][0] == pytest.approx(sum(halves) / 2, rel=1e-5)


def test_a_seed_leaves_the_generator_as_it_was() -> None:
    before = torch.random.get_rng_state()
    with seeded(4):
        torch.rand(3)
    assert torch.equal(torch.random.get_rng_state(), before)
