"""Narrow images, maps of zeros and odd saliency maps, through every way of refining."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.attribute.result import LocalizationMaps
from advcam.attribute.settings import AttributeSettings, ClimbSettings
from advcam.errors import DataError
from advcam.pipeline.config import RefineSettings, ReportSettings, RunConfig
from advcam.pipeline.graph import run_stages
from advcam.pipeline.record import RunRecord
from advcam.refine import CRFSettings
from advcam.refine.irn_settings import IRNSettings, IRNWalkSettings
from advcam.refine.psa_settings import PSASettings
from advcam.refine.settings import SeedSettings
from advcam.saliency.settings import SaliencySettings

# Height and width, and the labels: bar is class 0, disc class 1.
PICTURES = {
    "flat": (8, 60, "bar"),
    "tall": (60, 8, "disc"),
    "long": (8, 300, "bar"),
    "both": (48, 64, "bar;disc"),
    "none": (40, 40, "background"),
    "plain": (64, 48, "disc"),
}


@pytest.fixture
def odd(small_classifier: Path, tmp_path: Path) -> RunConfig:
    """Six such images and a seventh that is one pixel high; square saliency maps of all but one."""
    generator = np.random.default_rng(0)
    rows = ["image,labels"]
    data, maps = tmp_path / "data", tmp_path / "maps"
    data.mkdir()
    maps.mkdir()
    for name, (height, width, labels) in {**PICTURES, "thin": (1, 60, "bar")}.items():
        Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(data / f"{name}.png")
        rows.append(f"{name}.png,{labels}")
        if name not in ("thin", "plain"):
            Image.fromarray(np.tile(np.repeat(np.array([0, 255], np.uint8), 10), (20, 1))).save(maps / f"{name}.png")
    (data / "labels.csv").write_text("\n".join(rows) + "\n")
    training = {"epochs": 1, "batch_size": 2, "workers": 0}
    return RunConfig(
        data=str(data),
        out=str(tmp_path / "run"),
        classifier=str(small_classifier),
        skip_bad=True,
        saliency=SaliencySettings(source="folder", folder=str(maps), missing="without"),
        attribute=AttributeSettings(scales=(1.0,)),
        climb=ClimbSettings(steps=3),
        seed=SeedSettings(threshold=0.3),
        irn=IRNSettings(features="classifier", crop=32, radius=3, **training),
        irn_walk=IRNWalkSettings(pad=0, exp_times=3),
        psa=PSASettings(
            architecture=None,
            optimizer="adamw",
            lr=1e-4,
            crop=72,
            log_times=2,
            crf=CRFSettings(iterations=2),
            **training,
        ),
        report=ReportSettings(gallery=6, strips=1),
        device="cpu",
    )


@pytest.mark.parametrize("method", ["none", "crf", "irn", "psa"])
def test_every_mask_is_of_its_image_and_its_classes(odd, method):
    asked = replace(odd, refine=RefineSettings(method=method, ambiguity=True, max_side=64))
    root = Path(asked.out)
    run_stages(asked, ("classify", "saliency", "attribute"))
    both = LocalizationMaps.load(root / "advcam/maps/both.npz")
    maps = both.maps.copy()
    maps[1] = 0
    replace(both, maps=maps).save(root / "advcam/maps/both.npz")
    run_stages(asked, ("refine", "report"))
    masks = {path.stem: np.asarray(Image.open(path)) for path in (root / "advcam/masks").iterdir()}
    assert {name: mask.shape for name, mask in masks.items()} == {
        name: (height, width) for name, (height, width, _) in PICTURES.items()
    }
    for name, mask in masks.items():
        own = {{"bar": 1, "disc": 2}[label] for label in PICTURES[name][2].split(";") if label != "background"}
        # The map of the disc is zero there.
        own -= {2} if name == "both" else set()
        assert set(np.unique(mask).tolist()) <= {0, *own, 255}
    # The left half of each saliency map is background; the one without a map stays out of the rule.
    assert (masks["none"][:, :20] == 0).all()
    assert (masks["none"][:, 20:] == 255).all()
    assert (masks["both"][:, 32:] != 0).all()
    assert not (masks["plain"] == 255).any()
    left_out = RunRecord(root).content.left_out
    assert "thin.png: the image is 60 x 1 pixels, but at least 8 x 8 are needed" in str(left_out)
    assert "hatched in a mask is set aside" in (root / "report.html").read_text()


def test_an_image_of_one_row_is_named(odd):
    with pytest.raises(DataError, match=r"thin\.png: the image is 60 x 1 pixels, but at least 8 x 8 are needed"):
        run_stages(replace(odd, skip_bad=False), ("classify", "saliency", "attribute"))
    assert not (Path(odd.out) / "advcam/maps").exists()
