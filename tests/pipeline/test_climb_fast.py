"""A run that climbs from a feature map and stops pairs: the stage says where from, and the report can show it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from advcam.attribute.result import LocalizationMaps
from advcam.attribute.settings import AttributeSettings, ClimbSettings
from advcam.pipeline.verbs import run_stages


def test_the_stage_climbs_from_the_feature_map(config):
    config = replace(config, attribute=AttributeSettings(scales=(1.0,)), climb=ClimbSettings.fast())
    run_stages(config, ("classify", "attribute", "report"))
    root = Path(config.out)
    entry = json.loads((root / "manifest.json").read_text())["stages"]["attribute"]
    # ResNet-10-T: the three convolutions of its stem are 0.12 of the network, its first block 0.36.
    assert entry["climbed_from"] == "model.maxpool"
    assert entry["settings"]["climb"]["skip"] == 0.22
    pixels = replace(config, out=str(root) + " pixels", climb=replace(config.climb, skip=0.0))
    run_stages(pixels, ("classify", "attribute"))
    found, other = (LocalizationMaps.load(Path(c.out) / "maps/even/picture 2.npz").maps for c in (config, pixels))
    assert np.isfinite(found).all()
    assert not np.array_equal(found, other)
    same = [LocalizationMaps.load(Path(c.out) / "cam/even/picture 2.npz").maps for c in (config, pixels)]
    np.testing.assert_allclose(*same, atol=2e-3)
    assert (root / "report.html").exists()
