"""A tiny training: its logs, that a stopped one ends like an undisturbed one, and several processes."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from jaxtyping import UInt8
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch import Tensor, nn

from advcam.errors import DataError, RunError, SettingsError
from advcam.training import FitEvent, FitResult, FitSettings, Task, fit
from advcam.training.state import FitState, save_tensors


@dataclass(frozen=True)
class TinySettings(FitSettings):
    section: ClassVar[str] = "tiny."

    epochs: int = 3
    batch_size: int = 4
    lr: float = 0.1
    workers: int | None = 0


class Tiny(Task):
    """Ten points to a line, through a batch norm and a dropout, which a resumed training has to get right."""

    score_name = "negative error"

    def __init__(self, settings: FitSettings, broken: int | None = None) -> None:
        torch.manual_seed(5)
        network = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))
        super().__init__(network, settings)
        self.broken = broken

    def __len__(self) -> int:
        return 10

    def item(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        if index == self.broken:
            raise DataError("7.png cannot be read: replace it")
        x = self.generator(epoch, index).normal(size=3).astype(np.float32) + index
        return torch.from_numpy(x), torch.tensor([float(x.sum())])

    def loss(self, batch: Any, update: int, total: int) -> dict[str, Tensor]:
        inputs, targets = batch
        error = (self.network(inputs) - targets).square().mean()
        return {"loss": error, "half": error / 2}

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [
            {"params": list(self.network[:4].parameters()), "lr": 0.01},
            {"params": list(self.network[4].parameters()), "weight_decay": 0.0},
        ]

    def validate(self, rank: int, world: int) -> Tensor:
        error = torch.zeros(2, dtype=torch.float64)
        for index in range(rank, 6, world):
            x = torch.full((1, 3), float(index))
            error += torch.tensor([float((self.network(x) - x.sum()).square()), 1.0])
        return error

    def scores(self, total: Tensor) -> dict[str, float]:
        return {"negative error": -float(total[0] / total[1]), "items": float(total[1])}

    def pictures(self) -> dict[str, UInt8[np.ndarray, "H W 3"]]:
        return {"grey": np.full((4, 5, 3), 128, np.uint8)}


def train(folder: Path, settings: FitSettings | None = None, **more: Any) -> tuple[Tiny, FitResult]:
    task = Tiny(settings or TinySettings())
    return task, fit(task, folder, origin={"data": "ten points"}, device="cpu", **more)


def stop_at(update: int, error: Callable[[], None]) -> Callable[[FitEvent], None]:
    def on_event(event: FitEvent) -> None:
        if event.update == update and event.scores is None:
            error()

    return on_event


def equal(one: nn.Module, two: nn.Module) -> bool:
    first, second = one.state_dict(), two.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tiny, FitResult, Path]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return *train(folder), folder


def test_result_and_files(undisturbed: tuple[Tiny, FitResult, Path]) -> None:
    task, result, folder = undisturbed
    # Ten items are two batches of four an epoch.
    assert result.updates == 6
    assert not task.network.training
    assert [row["update"] for row in result.validations] == [2, 4, 6]
    assert {row["items"] for row in result.validations} == {6}
    assert result.losses["half"] == pytest.approx([value / 2 for value in result.losses["loss"]])
    with (folder / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["lr"]) for row in rows] == pytest.approx([0.1 * (1 - s / 6) ** 0.9 for s in range(6)], rel=1e-5)
    assert [float(row["loss"]) for row in rows] == pytest.approx(result.losses["loss"], rel=1e-5)
    assert (folder / "validation.csv").read_text().splitlines()[0] == "update,negative error,items"
    assert sorted(path.name for path in (folder / "samples").iterdir()) == [
        f"{update:06d}_grey.png" for update in (2, 4, 6)
    ]
    (events,) = (folder / "tensorboard").iterdir()
    read = [event for event in EventFileLoader(str(events)).Load() if event.step]
    named = [(event.step, value.tag) for event in read for value in event.summary.value]
    assert named[:3] == [(1, "lr"), (1, "train/loss"), (1, "train/half")]
    assert [step for step, tag in named if tag == "val/negative error"] == [2, 4, 6]


@pytest.mark.parametrize("update", [1, 2, 5])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_ends_like_an_undisturbed_one(
    undisturbed: tuple[Tiny, FitResult, Path], tmp_path: Path, update: int, number: signal.Signals
) -> None:
    task, expected, _ = undisturbed
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit):
        train(tmp_path, on_event=stop_at(update, lambda: os.kill(os.getpid(), number)))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    seen: list[FitEvent] = []
    resumed, result = train(tmp_path, on_event=seen.append)
    # The signal came after an update's end, so the next one was made and kept as well.
    assert [event.update for event in seen[:1]] == ([update + 2] if update < 5 else [])
    assert result.losses == expected.losses
    assert result.validations == expected.validations
    assert equal(resumed.network, task.network)


def test_a_crash_goes_on_from_the_last_saving(undisturbed: tuple[Tiny, FitResult, Path], tmp_path: Path) -> None:
    def crash() -> None:
        raise RuntimeError("power cut")

    settings = TinySettings(checkpoint_seconds=1e-9)
    with pytest.raises(RuntimeError, match="power cut"):
        train(tmp_path, settings, on_event=stop_at(4, crash))
    seen: list[FitEvent] = []
    resumed, _ = train(tmp_path, settings, on_event=seen.append)
    assert seen[0].update == 4
    assert equal(resumed.network, undisturbed[0].network)


def test_a_finished_training_is_only_read(undisturbed: tuple[Tiny, FitResult, Path]) -> None:
    task, result, folder = undisturbed
    again, repeated = train(folder, on_event=lambda event: pytest.fail("an update was made"))
    assert repeated == result
    assert equal(again.network, task.network)


def test_passes_share_a_batch(undisturbed: tuple[Tiny, FitResult, Path], tmp_path: Path) -> None:
    # Without batch norm and dropout, two passes of two items are one pass of four.
    class Plain(Tiny):
        def __init__(self, settings: FitSettings) -> None:
            super().__init__(settings)
            self.network[1], self.network[3] = nn.Identity(), nn.Identity()

    one, two = Plain(TinySettings()), Plain(TinySettings(accumulate=2))
    losses = [fit(task, tmp_path / name, origin={}, device="cpu").losses for task, name in ((one, "1"), (two, "2"))]
    assert losses[0]["loss"] == pytest.approx(losses[1]["loss"], rel=1e-5)


def test_the_best_weights_are_kept(tmp_path: Path) -> None:
    # The rate rises so far that the last validation is not the best.
    class Rising(Tiny):
        def lr_factor(self, update: int, total: int) -> float:
            return 0.2 if update < 4 else 3.0

    task = Rising(TinySettings(keep="best"))
    result = fit(task, tmp_path, origin={}, device="cpu")
    scores = [row["negative error"] for row in result.validations]
    assert result.kept is not None
    assert result.kept["negative error"] == max(scores) > scores[-1]
    with torch.no_grad():
        assert float(task.scores(task.validate(0, 1))["negative error"]) == pytest.approx(max(scores))


def test_a_kill_between_the_best_weights_and_the_state_leaves_them_agreeing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Paced(Tiny):
        factor = 0.05

        def lr_factor(self, update: int, total: int) -> float:
            return self.factor

    def save(state: FitState, path: Path) -> None:
        if state.updates == 4:
            assert (path.parent / "best_000004.pt").exists()
            raise RuntimeError("power cut")
        save_tensors(path, vars(state))

    settings = TinySettings(keep="best", checkpoint_seconds=1e-9)
    monkeypatch.setattr(FitState, "save", save)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(Paced(settings), tmp_path, origin={}, device="cpu")
    monkeypatch.undo()
    # It goes on with other numbers, as on a GPU, so that the validation at update 4 is no longer the best.
    task = Paced(settings)
    task.factor = 1.0
    result = fit(task, tmp_path, origin={}, device="cpu")
    assert result.kept == result.validations[0]
    assert task.scores(task.validate(0, 1))["negative error"] == pytest.approx(result.kept["negative error"])
    assert [path.name for path in tmp_path.glob("best*")] == ["best_000002.pt"]


def test_best_without_a_validation_is_refused_and_auto_is_last(tmp_path: Path) -> None:
    class Blind(Tiny):
        score_name = None

        def validate(self, rank: int, world: int) -> None:
            return None

    with pytest.raises(SettingsError, match=r"tiny\.keep is best, but there is nothing to validate on"):
        fit(Blind(TinySettings(keep="best")), tmp_path, origin={}, device="cpu")
    assert fit(Blind(TinySettings(keep="auto")), tmp_path, origin={}, device="cpu").kept is None
    best = fit(Tiny(TinySettings(keep="auto")), tmp_path / "best", origin={}, device="cpu")
    assert best.kept == max(best.validations, key=lambda row: row["negative error"])
    assert len(list((tmp_path / "best").glob("best_*.pt"))) == 1


def test_what_changes_no_number_may_change_on_the_way(undisturbed: tuple[Tiny, FitResult, Path]) -> None:
    _, repeated = train(undisturbed[2], TinySettings(workers=1, checkpoint_seconds=7.0))
    assert repeated == undisturbed[1]


@pytest.mark.slow
def test_two_processes_share_the_batches(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings = TinySettings(epochs=2)
    one = NoDropout(settings)
    alone = fit(one, tmp_path / "1", origin={}, device="cpu")
    two = NoDropout(settings)
    shared = fit(two, tmp_path / "2", origin={}, device="cpu", devices=2)
    assert shared.losses["loss"] == pytest.approx(alone.losses["loss"], rel=1e-4)
    assert [row["items"] for row in shared.validations] == [6, 6]
    assert capfd.readouterr() == ("", "")
    for mine, theirs in zip(one.network.parameters(), two.network.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


@pytest.mark.slow
def test_the_error_of_a_process_comes_back_as_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^7\.png cannot be read: replace it$"):
        fit(Tiny(TinySettings(), broken=7), tmp_path, origin={}, device="cpu", devices=2)


class NoDropout(Tiny):
    """Independent of how the batch is shared. At module level: it goes to other processes."""

    def __init__(self, settings: FitSettings) -> None:
        super().__init__(settings)
        self.network[1], self.network[3] = nn.Identity(), nn.Identity()


def test_what_is_refused(tmp_path: Path, undisturbed: tuple[Tiny, FitResult, Path]) -> None:
    with pytest.raises(SettingsError, match="batch_size is 16, but there are only 10 items"):
        train(tmp_path, TinySettings(batch_size=16))
    with pytest.raises(SettingsError, match=r"cannot be shared equally by tiny\.accumulate=1 passes on 3 devices"):
        train(tmp_path, devices=3)
    with pytest.raises(RunError, match=r"started with lr 0\.1, but is asked to go on with 0\.2"):
        train(undisturbed[2], replace(TinySettings(), lr=0.2))
    with pytest.raises(SettingsError, match=r"the training diverges: with tiny\.lr 1e"):
        train(tmp_path, TinySettings(lr=1e30))
    with pytest.raises(DataError, match=r"7\.png cannot be read"):
        fit(Tiny(TinySettings(workers=1), broken=7), tmp_path / "broken", origin={}, device="cpu")
    (tmp_path / "training.pt").write_bytes(b"nothing")
    with pytest.raises(RunError, match="not the state of a training"):
        train(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"), [("epochs", 0), ("updates", 0), ("lr", 0.0), ("momentum", 1.0), ("workers", -1), ("seed", -1)]
)
def test_settings_that_make_no_sense(name: str, value: float) -> None:
    with pytest.raises(SettingsError, match=f"{name} is {value}"):
        FitSettings(**{name: value})
