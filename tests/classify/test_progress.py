"""What a training shows off a terminal."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from advcam.classify import TrainingEvent, TrainingProgress


def events() -> list[TrainingEvent]:
    return [
        TrainingEvent(1, 2, 1, 4, 0.7),
        TrainingEvent(1, 2, 2, 4, 0.6),
        TrainingEvent(1, 2, 2, 4, 0.6, validated=True, val_map=0.5),
        TrainingEvent(2, 2, 3, 4, 0.5),
    ]


def test_plain_lines_after_epochs_and_at_intervals() -> None:
    epochs, every = StringIO(), StringIO()
    for out, seconds in ((epochs, 1e9), (every, 0.0)):
        with TrainingProgress(Console(file=out), seconds=seconds) as progress:
            for event in events():
                progress(event)
    assert epochs.getvalue() == "classify: epoch 1/2, update 2/4, loss 0.600, validation mAP 0.500\n"
    lines = every.getvalue().splitlines()
    assert lines[0] == "classify: epoch 1/2, update 1/4, loss 0.700"
    assert lines[-1] == "classify: epoch 2/2, update 3/4, loss 0.500, validation mAP 0.500"


def test_bar_on_a_terminal() -> None:
    out = StringIO()
    with TrainingProgress(Console(file=out, force_terminal=True, width=100)) as progress:
        for event in events():
            progress(event)
    assert "3/4" in out.getvalue()
    assert "validation mAP 0.500" in out.getvalue()
