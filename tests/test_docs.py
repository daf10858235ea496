"""The documentation: its examples run, its commands parse, its settings and their defaults are those of the code."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from advcam.attribute.grid import stored_size
from advcam.attribute.result import LocalizationMaps
from advcam.cli import VERBS, main
from advcam.data.masks import write_mask
from advcam.evaluate import SegmentationResult, ThresholdSource, segmentation
from advcam.io.keys import plain
from advcam.pipeline.config import RunConfig
from advcam.pipeline.stages import BY_VERB
from advcam.segment.checkpoint import build_network, save_network
from advcam.segment.inference import Segmenter
from advcam.verbs.arguments import parse

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
SECTIONS = [name for name, value in vars(RunConfig()).items() if is_dataclass(value)]
SETTING = re.compile(rf"(?:--)?((?:{'|'.join(SECTIONS)})\.[a-z_]+)(?:[ =].*)?")
# What follows "advcam" in prose without being a verb: any verb, and the names of masks in ``metrics.json``.
NO_VERBS = {"VERB", "seed", "mask", "+"}
FILES = {"instances.csv", "report.html"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str


@cache
def blocks(page: str) -> tuple[Block, ...]:
    found, start, language = [], 0, ""
    lines = (DOCS / page).read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.startswith("```"):
            continue
        if start:
            found.append(Block(page, start + 1, language, "\n".join(lines[start : number - 1])))
            start = 0
        else:
            start, language = number, line.removeprefix("```").strip()
    assert not start, f"{page}: the block that opens at line {start} is never closed"
    return tuple(found)


def prose(page: str) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", (DOCS / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def code_spans(page: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(page))


def commands(page: str) -> list[list[str]]:
    """The ``advcam`` commands of the shell blocks, as words after ``advcam``."""
    found = []
    for block in blocks(page):
        if block.language in ("bash", "console", "sh"):
            for line in block.text.replace("\\\n", " ").split("\n"):
                words = shlex.split(line.removeprefix("$ "), comments=True)
                words = words[: words.index(">")] if ">" in words else words
                if words and words[0] == "advcam":
                    found.append(words[1:])
    return found


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples speak of: ``photo.jpg``, a data set ``photos`` and its run folder ``runs/photos``."""
    folder = tmp_path_factory.mktemp("docs")
    run, generator = folder / "runs" / "photos", np.random.default_rng(0)
    size, rows, predictions, truths = (48, 64), ["image,labels"], [], []
    for index, name in enumerate(("cat", "dog")):
        image_id = f"images/{index:02d}"
        truth = np.zeros(size, np.uint8)
        truth[8:32, 8:40] = index + 1
        prediction = np.roll(truth, 4, axis=1)
        path = folder / "photos" / f"{image_id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
        write_mask(folder / "photos" / "masks" / f"{index:02d}.png", truth)
        maps = generator.random((1, *stored_size(size))).astype(np.float16)
        LocalizationMaps(np.array([index]), maps, size, np.array([0.9])).save(run / f"advcam/maps/{image_id}.npz")
        write_mask(run / "advcam/masks" / f"{image_id}.png", prediction)
        rows.append(f"{image_id}.png,{name}")
        predictions.append(prediction)
        truths.append(truth)
    (folder / "photos" / "labels.csv").write_text("\n".join(rows) + "\n")
    scores = segmentation(predictions, truths, num_classes=3)
    result = SegmentationResult("advcam + crf", "all", scores, 0.3, ThresholdSource.fixed())
    (run / "metrics.json").write_text(json.dumps({"results": [result.to_json()]}))
    build = {"architecture": "timm/test_resnet", "output_stride": 16, "rates": [1, 2], "pyramid": []}
    segmenter = Segmenter(build_network("deeplab", build, 3), ("cat", "dog"), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    save_network(run / "segmentation", segmenter, "deeplab", build)
    Image.fromarray(generator.integers(0, 256, (64, 96, 3), dtype=np.uint8)).save(folder / "photo.jpg")
    (folder / "mine.yaml").write_text("climb: {steps: 10}\n")
    return folder


@pytest.fixture
def in_workspace(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(workspace)
    threads = torch.get_num_threads()
    yield workspace
    torch.set_num_threads(threads)


@pytest.mark.parametrize("page", [page for page in PAGES if any(b.language == "python" for b in blocks(page))])
def test_examples_run(page: str, in_workspace: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            # Line numbers of the page in tracebacks; each example stands by itself.
            text = "\n" * (block.line - 1) + block.text
            exec(compile(text, str(DOCS / page), "exec"), {"__name__": "example"})


@pytest.mark.parametrize("page", PAGES)
def test_commands_parse(page: str, in_workspace: Path) -> None:
    for verb, *words in commands(page):
        assert verb in VERBS or verb.startswith("-"), f"{page}: there is no verb {verb!r}"
        if verb in ("run", *BY_VERB) and "--print_config" not in words:
            parse(verb, words)


@pytest.mark.parametrize("page", PAGES)
def test_settings_of_commands_are_in_the_help(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    spans = [shlex.split(span)[1:] for span in code_spans(page) if span.startswith("advcam ")]
    for verb, *words in commands(page) + [words for words in spans if words]:
        if verb in NO_VERBS or verb.startswith("-"):
            continue
        assert verb in VERBS, f"{page}: there is no verb {verb!r}"
        known = help_settings(verb, capsys) if any(word.startswith("--") for word in words) else set()
        for word in words:
            if word.startswith("--"):
                assert underscored(word.split("=")[0]) in known, f"{page}: `advcam {verb}` has no {word}"


@pytest.mark.parametrize("page", PAGES)
def test_settings_in_prose_exist(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    everywhere = help_settings("run", capsys) | help_settings("doctor", capsys) | help_settings("analyse", capsys)
    for span in code_spans(page):
        for option in re.findall(r"(?<![\w-])--[a-z][\w.-]*", span):
            assert underscored(option) in everywhere or span.startswith(("advcam ", "python ")), (
                f"{page}: there is no setting {option}"
            )
        if span not in FILES and (match := SETTING.fullmatch(span)) is not None:
            wanted = f"--{match[1]}"
            known = wanted in everywhere or any(name.startswith(f"{wanted}.") for name in everywhere)
            assert known, f"{page}: there is no setting {match[1]}"


@pytest.mark.parametrize("page", PAGES)
def test_defaults_in_tables(page: str) -> None:
    """A row ``| `section.name` | `value` | ...`` states a default."""
    default = plain(RunConfig())
    for line in prose(page).split("\n"):
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) < 2 or not re.fullmatch(r"`[^`]*`", cells[1]):
            continue
        for name in re.findall(r"`([a-z_.]+)`", cells[0]):
            value = lookup(default, name)
            if value is not MISSING:
                assert yaml.safe_load(cells[1].strip("`")) == value, f"{page}: the default of {name} is {value}"


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose(page)):
        assert (DOCS / target).exists(), f"{page}: there is no {target}"


MISSING = object()


def underscored(option: str) -> str:
    """A setting as the help spells it; the command line takes dashes as well."""
    return "--" + option[2:].replace("-", "_")


def lookup(config: dict[str, Any], name: str) -> Any:
    value: Any = config
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            return MISSING
        value = value[part]
    return value


_HELP: dict[str, set[str]] = {}


def help_settings(verb: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """The settings that ``advcam VERB --help-all`` lists."""
    if verb not in _HELP:
        assert main([verb, "--help-all"]) == 0
        _HELP[verb] = set(re.findall(r"(?<![\w-])--[a-z][\w.-]*", capsys.readouterr().out))
    return _HELP[verb]
