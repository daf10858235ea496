"""CCT as a stage of a run: what it is trained on, the files it leaves, and what it refuses."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from advcam.cli import main
from advcam.data.masks import write_mask
from advcam.errors import DataError, RunError, SettingsError
from advcam.pipeline.predictions import looks, predict_split
from advcam.pipeline.run import Run
from advcam.pipeline.segment import segment
from advcam.segment import InferenceSettings, Segmenter, SegmentSettings, load
from advcam.segment.cct.settings import CCTSettings


@pytest.fixture
def cct_config(config):
    """Two of six images with masks, two updates."""
    settings = CCTSettings(
        architecture="timm/test_resnet",
        weights=None,
        output_stride=16,
        psp_channels=8,
        labelled=2,
        weak=False,
        batch_size=2,
        updates=2,
        crop=32,
        long_side=(32, 64),
        drop_out=1,
        cut_out=1,
        feature_drop=1,
        feature_noise=1,
        workers=0,
        keep="last",
        validate_every=100,
    )
    return replace(config, segment=SegmentSettings(method="cct", multi_scale=True, crf=True), cct=settings)


def stage(config):
    run = Run.open(config)
    segment(run)
    return run


def test_trains_measures_and_goes_on(cct_config, capsys, monkeypatch):
    run = stage(cct_config)
    assert "2 images with masks, 4 with no masks" in capsys.readouterr().err
    made = run.record.artifacts["segmentation"]
    assert (made.status, made.result["images"], made.result["without_masks"]) == ("done", 2, 4)
    segmenter = load(run.folder.root, ("bar", "disc"))
    image = np.zeros((30, 45, 3), np.uint8)
    assert segmenter(image).shape == (30, 45)
    assert segmenter(image, InferenceSettings(scales=(0.5, 1.0), flip=True, crf=True)).shape == (30, 45)
    predict_split(run, "all", run.image_set(None))
    labels = [sorted((run.folder.segmentation / look.folder).rglob("*.png")) for look in looks(True, True)]
    assert [len(files) for files in labels] == [6, 6, 6]
    seen, make = [], Segmenter.labels
    monkeypatch.setattr(
        Segmenter, "labels", lambda self, images, how: seen.append(len(images)) or make(self, images, how)
    )
    lost = next(path for path in labels[0] if path.stem == "picture 3")
    before = lost.read_bytes()
    lost.unlink()
    predict_split(run, "all", run.image_set(None))
    # It has the batch it had: three pictures have its size.
    assert (seen, lost.read_bytes()) == ([3], before)
    written = (run.folder.root / "segmentation" / "model.safetensors").stat().st_mtime_ns
    stage(cct_config)
    assert (run.folder.root / "segmentation" / "model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(RunError, match="labelled 2 there, 3 now"):
        stage(replace(cct_config, cct=replace(cct_config.cct, labelled=3)))
    stage(replace(cct_config, cct=replace(cct_config.cct, save_memory=True, workers=1)))


def test_predict_labels_a_folder(cct_config, small_data, tmp_path):
    stage(cct_config)
    assert main(["predict", str(small_data / "odd"), "--model", cct_config.out, "--out", str(tmp_path / "out")]) == 0
    segmenter = load(cct_config.out)
    with (
        Image.open(small_data / "odd" / "picture 1.png") as image,
        Image.open(tmp_path / "out" / "masks" / "picture 1.png") as mask,
    ):
        np.testing.assert_array_equal(np.asarray(mask), segmenter(np.asarray(image)))
    assert len(list((tmp_path / "out" / "overlays").glob("*.jpg"))) == 3


def test_without_a_split_to_validate_on(cct_config, capsys):
    with pytest.raises(SettingsError, match=r"cct\.keep is best, but no image .* with segment\.score, or take"):
        stage(replace(cct_config, cct=replace(cct_config.cct, keep="best")))
    run = stage(replace(cct_config, cct=replace(cct_config.cct, keep="auto")))
    assert "so the weights after the last update are kept" in capsys.readouterr().err
    assert run.record.artifacts["segmentation"].facts["settings"]["keep"] == "last"
    assert "chosen" not in run.record.artifacts["segmentation"].result


def test_pseudo_masks_of_a_folder(cct_config, small_data, tmp_path):
    folder = tmp_path / "pseudo"
    shutil.copytree(small_data / "masks", folder)
    masks = sorted(folder.rglob("*.png"))
    weak = replace(
        cct_config, segment=replace(cct_config.segment, masks=str(folder)), cct=replace(cct_config.cct, weak=True)
    )
    run = stage(weak)
    assert run.record.artifacts["segmentation"].facts["learnt"]["images"] == 6
    masks[-1].unlink()
    with pytest.raises(DataError, match="1 of 4 images without masks have no pseudo mask"):
        stage(replace(weak, out=str(tmp_path / "other")))


def test_bad_input(cct_config, small_data, tmp_path):
    with pytest.raises(RunError, match="no whole set of masks yet"):
        stage(replace(cct_config, cct=replace(cct_config.cct, weak=True)))
    with pytest.raises(DataError, match="asks for 7 images with masks, but there are only 6"):
        stage(replace(cct_config, cct=replace(cct_config.cct, labelled=7)))
    with pytest.raises(DataError, match="none without"):
        stage(replace(cct_config, cct=replace(cct_config.cct, labelled=None)))
    bare = tmp_path / "bare"
    shutil.copytree(small_data, bare, ignore=shutil.ignore_patterns("masks"))
    with pytest.raises(DataError, match="CCT needs some"):
        stage(replace(cct_config, data=str(bare)))
    wrong = tmp_path / "wrong"
    shutil.copytree(small_data, wrong)
    for path in (wrong / "masks").rglob("*.png"):
        mask = np.zeros((1, 1), np.uint8)
        write_mask(path, mask)
    with pytest.raises(DataError, match="make both the same size"):
        stage(replace(cct_config, data=str(wrong)))
    assert not (tmp_path / "run" / "segmentation").exists()


def test_looks():
    assert [look.words for look in looks(False, True)] == ["", " + crf"]
    assert [look.folder for look in looks(True, True)] == [
        "predictions",
        "predictions_scales",
        "predictions_scales_crf",
    ]
    best = looks(True, True)[-1].settings
    assert (best.scales, best.flip, best.crf) == ((0.5, 0.75, 1.0, 1.25, 1.5), True, True)
