"""The README's commands and examples run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.cli import main
from advcam.verbs.arguments import parse

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line.split("#")[0])
    for block in re.findall(r"```\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]


def test_make_targets_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {words[1] for words in COMMANDS if words[:1] == ["make"]}
    assert named
    assert named <= targets


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for index in range(4):
        pixels = np.random.default_rng(index).integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"photos/{index}.jpg")
    Path("photos/labels.csv").write_text("image,labels\n0.jpg,cat\n1.jpg,dog\n2.jpg,cat;dog\n3.jpg,dog\n")
    commands = [words[1:] for words in COMMANDS if words[:1] == ["advcam"]]
    assert [words[0] for words in commands] == ["doctor", "run"]
    assert main(commands[0]) == 0
    assert re.search(r"problems +none", capsys.readouterr().out)
    config = parse("run", commands[1][1:])
    assert (config.data, config.out) == ("photos", "runs/photos")


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_python_examples(code: str):
    namespace: dict[str, object] = {}
    exec(code, namespace)
    assert namespace["maps"].shape == (1, 224, 224)


def test_every_link_and_picture_is_there():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), f"README.md leads to {target}, which is not there"
