"""What every training promises: the same seed gives the same tensors, also after a kill at any moment."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from trainings import TASKS, Pictures, train

from advcam.training import FitEvent
from advcam.training.seeding import seeded


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


def test_a_seed_leaves_the_generator_as_it_was() -> None:
    before = torch.random.get_rng_state()
    with seeded(4):
        torch.rand(3)
    assert torch.equal(torch.random.get_rng_state(), before)
