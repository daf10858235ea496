"""Drawing that was killed, and disks that are full: one sentence, and the same command goes on."""

from __future__ import annotations

import errno
import os
import resource
import threading
from pathlib import Path

import pytest
import torch
from commands import VERBS

from advcam.cli import main
from advcam.data.scenes import SceneSettings, dataset
from advcam.errors import RunError
from advcam.io.files import TEMPORARY
from advcam.io.lock import locked
from advcam.pipeline import graph
from advcam.training.logs import TrainingLogs
from advcam.training.state import save_tensors

FEW = SceneSettings(train=2, val=1, test=1, size=96)


def killed_while_drawing(words: list[str]) -> None:
    """Run a command in a child that dies as it writes its second mask."""
    child = os.fork()
    if child == 0:
        written = []

        def die(path: object, mask: object) -> None:
            written.append(path)
            if len(written) > 1:
                os._exit(9)

        dataset.write_mask = die  # type: ignore[assignment]
        main(words)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.parametrize("verb", ["demo", "scenes"])
def test_a_drawing_that_was_killed_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call, verb: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dataset, "SceneSettings", lambda: FEW)
    monkeypatch.setattr(graph, "run_stages", lambda config, verbs: None)
    words = [verb, "--out", "out"]
    if verb == "scenes":
        words += ["--train", "2", "--val", "1", "--test", "1", "--size", "96"]
    killed_while_drawing(words)
    assert [path for path in tmp_path.rglob("*") if TEMPORARY in path.name]
    assert call(*words)[0] == 0
    assert len(list(tmp_path.rglob("JPEGImages/*.jpg"))) == 4


def test_a_state_that_the_disk_does_not_take(tmp_path: Path) -> None:
    """Torch hides the error of a stream behind its own."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(RunError, match=r"training\.pt cannot be written"):
            save_tensors(tmp_path / "training.pt", {"weight": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_equal_tensors_are_equal_bytes_whatever_they_are_called(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_tensors(tmp_path / name, {"weight": torch.ones(3)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_lock_on_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "run.lock").symlink_to("/dev/full")
    with locked(tmp_path):
        pass


def test_events_of_a_training_on_a_full_disk(tmp_path: Path) -> None:
    """No thread of TensorBoard's prints a traceback, and closing fails no more."""
    before, logs = threading.active_count(), TrainingLogs(tmp_path)
    logs._events = Path("/dev/full").open("ab")  # noqa: SIM115
    with pytest.raises(RunError, match="the disk is full"):
        logs._event(1, {"loss": 1.0})
    logs.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("room", [0, 1, 3])
@pytest.mark.parametrize("verb", ["refine", "localize", "evaluate", "review", "import", "predict", "classify"])
def test_a_full_disk(world: Path, monkeypatch: pytest.MonkeyPatch, call, verb: str, room: int) -> None:
    """From some write on there is no room: one sentence says so. With room again the command goes on."""
    sync, left = os.fsync, [room]

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        code, lines = call(*VERBS[verb].split())
    if left[0] < 0:
        assert code == 2
        assert "the disk is full" in lines[-1]
    assert call(*VERBS[verb].split())[0] == 0
