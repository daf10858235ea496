"""What a later stage would refuse is refused before the first one begins."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from advcam.errors import SettingsError
from advcam.pipeline.arguments import parse
from advcam.pipeline.graph import check_ahead
from advcam.pipeline.stages import in_run


def check(words: Sequence[str]) -> None:
    config = parse("run", ["--out", "nowhere", *words])
    check_ahead(config, [stage.verb for stage in in_run(config)])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--segment.method", "deeplab"],
            r"segment\.weights is default, but no library",
        ),
        (["--refine.method", "psa"], r"psa\.weights is default, but no library has weights of resnet38"),
        (
            ["--refine.method", "irn", "--irn.weights", "no/irn.pth"],
            r"irn\.weights is no/irn\.pth, but",
        ),
        (["--backbone.weights", "no.safetensors"], r"backbone\.weights is no\.safetensors, but"),
        (["--wsol.method", "cam", "--segment.method", "deeplab", "--segment.weights", "null"], "boxes, and no masks"),
        (["--saliency.source", "folder", "--saliency.folder", "no"], r"saliency\.folder is no, but there is no such"),
        (["--instances.method", "irn"], r"take refine\.method irn as well"),
    ],
)
def test_refused_at_once(words: list[str], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        check(words)


def test_what_is_there_passes(tmp_path: Path) -> None:
    weights = tmp_path / "net.safetensors"
    weights.touch()
    check([])
    check(["--backbone.weights", str(weights), "--segment.method", "deeplab", "--segment.weights", "classifier"])
    check(["--refine.method", "psa", "--psa.architecture", "null"])


def test_a_missing_detector_is_told_at_once(monkeypatch) -> None:
    # As where OpenCV is not installed.
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(SettingsError, match=r"spectral_residual needs OpenCV's contributed modules"):
        check(["--saliency.source", "spectral_residual"])
