"""A small sound world, and the command line called in this process, its answers held against the promise."""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from advcam.cli import main
from advcam.io.files import TEMPORARY
from advcam.models import BackboneSettings, build_classifier, save_classifier
from advcam.segment.checkpoint import build_network, save_network
from advcam.segment.inference import Segmenter

# Exit code, and what stands on standard error.
Call = Callable[..., tuple[int, list[str]]]

# Lines that tell of progress; what else stands on standard error is a notice or the one sentence of an error.
VERBS = (
    "doctor classify classifier predict attribute refine localize boxes evaluate report segment review import export"
)
PROGRESS = (*(f"{name}: " for name in f"{VERBS} fig8".split(" ")), "advcam/", "cam/")
SECONDS, BYTES = 10.0, 2**31


def draw_photos(folder: Path) -> None:
    """Six small pictures in two classes, with masks and boxes."""
    (folder / "masks").mkdir(parents=True)
    for index in range(6):
        pixels = np.random.default_rng(index).integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
        mask = np.zeros((40, 48), np.uint8)
        mask[10:30, 5 + index : 25] = index % 2 + 1
        Image.fromarray(mask).save(folder / "masks" / f"{index}.png")
    rows = [f"{index}.png,{('cat', 'dog')[index % 2]}" for index in range(6)]
    (folder / "labels.csv").write_text("\n".join(["image,labels", *rows]) + "\n")


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six small pictures in two classes, in the working folder."""
    monkeypatch.chdir(tmp_path)
    draw_photos(Path("photos"))
    return Path("photos")


@pytest.fixture(scope="session")
def segmentation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmentation network of two classes with random weights."""
    build = {"architecture": "timm/test_resnet", "output_stride": 16, "rates": [1, 2], "pyramid": []}
    folder = tmp_path_factory.mktemp("segmentation")
    network = build_network("deeplab", build, 3)
    save_network(folder, Segmenter(network, ("cat", "dog"), (0.5,) * 3, (0.5,) * 3), "deeplab", build)
    return folder


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory, segmentation: Path) -> Path:
    """A folder with ``photos``, the ``network`` of a classifier, and a ``run`` in which every result is there."""
    root = tmp_path_factory.mktemp("sound")
    with working_in(root):
        draw_photos(Path("photos"))
        torch.manual_seed(0)
        settings = BackboneSettings(architecture="timm/test_resnet", weights=None, output_stride=16)
        save_classifier(Path("classifier"), build_classifier(settings, 2), settings, ("cat", "dog"))
        shutil.copytree(segmentation, "network")
        common = "--data photos --out run --classifier classifier --device cpu --report.gallery 6 --report.strips 0"
        quick = "--attribute.scales [1.0] --climb.steps 2 --refine.method none --localize.in_run true"
        for words in (f"run {common} {quick}", "review --out run", "export --out run --format coco"):
            assert main(words.split()) == 0
        assert main(["analyse", "fig8", "--out", "run", "--device", "cpu"]) == 0
    return root


@pytest.fixture
def world(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of ``sound`` to damage; the working folder."""
    shutil.copytree(sound, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def half_written(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if TEMPORARY in path.name]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """The command line, and the problems that it lists.

    Whatever it is given: exit code 0 or 2, no traceback, a failure is one sentence at the end of standard error,
    nothing half-written, in bounded time and memory.
    """

    def run(*words: object) -> tuple[int, list[str]]:
        capsys.readouterr()
        peak, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        code = main([str(word) for word in words])
        assert time.process_time() - started < SECONDS
        assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * 1024 < BYTES
        said = capsys.readouterr()
        lines = said.err.splitlines()
        assert not any("Traceback" in line for line in lines), lines
        assert code in (0, 2), lines
        if code == 2:
            assert lines[-1].startswith("advcam: ")
            assert all(line.startswith(PROGRESS) for line in lines[:-1]), lines
        assert not half_written(Path())
        return code, [*(line for line in said.out.splitlines() if line.startswith("problem")), *lines]

    return run
