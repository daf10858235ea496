"""What a later stage would refuse is refused before the first one begins."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.errors import DataError, SettingsError
from advcam.pipeline.classify import check_data, tell_notices
from advcam.pipeline.graph import check_ahead, run_stages
from advcam.pipeline.run import Run
from advcam.pipeline.stages import in_run
from advcam.verbs.arguments import parse


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


def data_set(folder: Path, labels: Sequence[str], white: int | None = None) -> list[str]:
    """Pictures with these labels, and masks whose object has the value ``white``; the words that name them."""
    for index, _ in enumerate(labels):
        mask = np.zeros((16, 16), np.uint8)
        mask[4:9, 4:9] = white or 0
        folder.mkdir(exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), 99, np.uint8)).save(folder / f"{index}.jpg")
        if white is not None:
            (folder / "masks").mkdir(exist_ok=True)
            Image.fromarray(mask).save(folder / "masks" / f"{index}.png")
    lines = [f"{index}.jpg,{label},me" for index, label in enumerate(labels)]
    (folder / "labels.csv").write_text("\n".join(["image,labels,author", *lines]))
    return ["--data", str(folder), "--out", str(folder.parent / "run"), "--device", "cpu"]


PAIR = ["cat", "dog", "cat;dog"]
SEGMENT = ["--segment.method", "deeplab", "--segment.weights", "null"]


@pytest.mark.parametrize(
    ("labels", "white", "words", "sentence"),
    [
        (["Cat", "cat ", "dog"], None, [], r"the classes 'Cat' and 'cat' differ only in case"),
        (["cat", "dog", "background"], 255, [], r"no mask holds anything but 0 and 255"),
        ([";".join(f"c{index}" for index in range(255))], None, [], r"255 classes, and a mask holds at most 254"),
        (PAIR, 3, [], r"0\.png.*3"),
        (PAIR, 3, SEGMENT, r"0\.png.*3"),
        (PAIR, None, [*SEGMENT, "--segment.masks", "nowhere"], r"nowhere: there is no such folder of masks"),
        (PAIR, None, [*SEGMENT, "--segment.masks", "."], r"none of the 3 images has a mask here"),
        (PAIR, None, ["--segment.method", "cct", "--cct.weights", "null"], r"none of the 3 images .* CCT needs some"),
        (PAIR, None, ["--seed.threshold", "swept"], r"seed\.threshold is swept, but .* has no masks"),
        (
            PAIR,
            None,
            ["--refine.method", "irn", "--irn_walk.background", "swept", "--irn.features", "classifier"],
            r"irn_walk\.background is swept, but .* has no masks",
        ),
        (
            PAIR,
            None,
            ["--refine.method", "psa", "--psa.architecture", "null", "--psa.train_split", "half"],
            r"psa\.train_split is half, which is not one of",
        ),
        (
            PAIR,
            None,
            ["--refine.method", "regions", "--regions.source", "folder", "--regions.folder", "nowhere"],
            r"nowhere: there is no such file or folder",
        ),
        (PAIR, 1, ["--localize.in_run", "--localize.threshold", "swept"], r"localize\.threshold is swept, .* no boxes"),
        (PAIR, None, ["--saliency.source", "folder", "--saliency.folder", "."], r"3 of 3 images have no saliency map"),
        (PAIR, None, ["--wsol.method", "cam"], r"2\.jpg.* 2 classes"),
    ],
)
def test_data_that_a_later_stage_would_refuse_stop_a_run_before_it_trains(
    tmp_path: Path, monkeypatch, labels: list[str], white: int | None, words: list[str], sentence: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    config = parse("run", [*data_set(tmp_path / "d", labels, white), *words])
    with pytest.raises((DataError, SettingsError), match=sentence):
        run_stages(config, [stage.verb for stage in in_run(config)])
    assert not (tmp_path / "run").exists()


def test_a_run_tells_what_the_doctor_notices_before_it_trains(tmp_path: Path, capsys) -> None:
    config = parse("run", data_set(tmp_path / "d", ["cat", "cat", "dog"], 1))
    check_data(Run.open(config))
    tell_notices(Run.open(config))
    told = capsys.readouterr()
    assert "not used: the columns author" in told.out
    assert "2 of 2 classes have fewer than 5 images (cat, dog)" in told.out
    assert told.err == ""


@pytest.mark.parametrize(("broken", "sentence"), [("1.jpg", "not an image"), ("masks/1.png", "is 20 x 16 pixels")])
def test_pictures_and_masks_are_looked_at_before_training(tmp_path: Path, broken: str, sentence: str) -> None:
    config = parse("run", data_set(tmp_path / "d", ["cat", "dog", "dog"], 1))
    if broken.endswith("jpg"):
        (tmp_path / "d" / broken).write_text("<html>")
    else:
        Image.new("L", (20, 16)).save(tmp_path / "d" / broken)
    with pytest.raises(DataError, match=sentence):
        check_data(Run.open(config))
