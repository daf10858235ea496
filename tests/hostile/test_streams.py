"""Output that nobody takes: a pipe that is closed, a full disk behind it, no stream at all. No run fails of it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import VERBS

from advcam.cli import main


class Refusing(io.StringIO):
    """A stream that takes nothing."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


class Broken(Refusing):
    """One whose reader has gone."""

    def flush(self) -> None:
        raise BrokenPipeError


# The masks of this world show one class only, which no network is trained on.
OWN = [words for verb, words in VERBS.items() if verb != "segment"]
CASES = [(words, Refusing) for words in (*OWN, "recipes", "--help")]
CASES += [(words, kind) for words in ("evaluate --out run", "recipes", "--help") for kind in (Broken, None)]


@pytest.mark.parametrize(("words", "kind"), CASES)
def test_streams_that_take_nothing(world: Path, monkeypatch: pytest.MonkeyPatch, words: str, kind) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None if kind is None else kind())
    assert main(words.split()) == 0


@pytest.mark.parametrize("shell", [">/dev/full", ">&-", "2>&-", "2>/dev/full >&-", "| head -n 1", "| true"])
def test_streams_of_a_shell(shell: str) -> None:
    """Also what Python itself says at its end of a stream that it cannot empty."""
    command = f"set -o pipefail; {sys.executable} -m advcam recipes {shell}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=dict(os.environ))
    assert ended.returncode == 0
    assert ended.stderr == ""
