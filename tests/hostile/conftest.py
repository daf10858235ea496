"""A small sound data set, a classifier and a segmentation network, and the command line called in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.cli import main
from advcam.segment.checkpoint import build_network, save_network
from advcam.segment.inference import Segmenter

# Exit code, and what stands on standard error.
Call = Callable[..., tuple[int, list[str]]]

# Lines that tell of progress; what else stands on standard error is a notice or the one sentence of an error.
PROGRESS = ("doctor: ", "classify: ", "predict: ", "attribute: ", "refine: ")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six small pictures in two classes, in the working folder."""
    monkeypatch.chdir(tmp_path)
    folder = Path("photos")
    folder.mkdir()
    for index in range(6):
        pixels = np.random.default_rng(index).integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    rows = [f"{index}.png,{('cat', 'dog')[index % 2]}" for index in range(6)]
    (folder / "labels.csv").write_text("\n".join(["image,labels", *rows]) + "\n")
    return folder


@pytest.fixture(scope="session")
def segmentation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmentation network of two classes with random weights."""
    build = {"architecture": "timm/test_resnet", "output_stride": 16, "rates": [1, 2], "pyramid": []}
    folder = tmp_path_factory.mktemp("segmentation")
    network = build_network("deeplab", build, 3)
    save_network(folder, Segmenter(network, ("cat", "dog"), (0.5,) * 3, (0.5,) * 3), "deeplab", build)
    return folder


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """The command line; no traceback is ever on standard error, and a failure is one sentence at its end."""

    def run(*words: object) -> tuple[int, list[str]]:
        code = main([str(word) for word in words])
        lines = capsys.readouterr().err.splitlines()
        assert not any("Traceback" in line for line in lines), lines
        assert code in (0, 2), lines
        if code == 2:
            assert lines[-1].startswith("advcam: ")
            assert all(line.startswith(PROGRESS) for line in lines[:-1]), lines
        return code, lines

    return run
