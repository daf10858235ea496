"""A run on another map than class activation maps: folders and keys of its own, and the library's numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import advcam
from advcam.attribute.result import LocalizationMaps
from advcam.data.images import read_image
from advcam.errors import ModelError, SettingsError
from advcam.models.checkpoint import load_classifier
from advcam.pipeline.attribute import keys
from advcam.pipeline.graph import run_stages
from advcam.pipeline.run import Run

IMAGE = "even/picture 2"


def on(config, kind: str, **change):
    return replace(config, attribute=replace(config.attribute, map=kind, scales=(1.0,), **change))


def test_maps_of_gradcam_pp_lie_beside_those_of_cam(config, small_classifier, small_data):
    run_stages(on(config, "cam"), ("classify", "attribute"))
    root = Path(config.out)
    before = (root / "advcam/maps" / f"{IMAGE}.npz").read_bytes()
    asked = on(config, "gradcam_pp", layer=("layer4",))
    run_stages(asked, ("attribute", "refine", "evaluate"))
    assert (root / "advcam/maps" / f"{IMAGE}.npz").read_bytes() == before
    masks = {row["masks"] for row in json.loads((root / "metrics.json").read_text())["results"]}
    assert {"gradcam_pp seed", "advcam_gradcam_pp seed", "gradcam_pp + crf", "advcam_gradcam_pp + crf"} <= masks
    mapper = load_classifier(small_classifier)[0].mapper()
    map_ = advcam.maps.GradCAMpp(mapper, "features.model.layer4", mean=mapper.mean, std=mapper.std)
    picture = read_image(small_data / f"{IMAGE}.png")
    expected = advcam.localization_maps(map_, picture, [0, 1], advcam.ClimbSettings(steps=1), (1.0,))
    found = LocalizationMaps.load(root / "gradcam_pp/maps" / f"{IMAGE}.npz")
    sampled = torch.nn.functional.avg_pool2d(expected, 4).numpy()
    np.testing.assert_allclose(found.maps, sampled / sampled.max(axis=(1, 2), keepdims=True), atol=0.05)


def test_the_kind_and_the_layer_are_in_the_key(config):
    run_stages(config, ("classify",))
    made = []
    for asked in (on(config, "gradcam"), on(config, "layercam"), on(config, "layercam", layer=("layer3",))):
        run = Run.open(asked)
        made.append(tuple(keys(run, run.kind, run.wanted).values()))
    assert len(set(made)) == 3


@pytest.mark.parametrize(
    ("kind", "layer", "error", "words"),
    [
        ("acol", (), SettingsError, "trained by this method"),
        ("cam", ("layer3",), SettingsError, r"attribute\.layer is for the maps gradcam"),
        ("gradcam", ("layer9",), ModelError, "no layer 'layer9': name one of"),
    ],
)
def test_what_does_not_go_together_is_named(config, kind, layer, error, words):
    with pytest.raises(error, match=words):
        run_stages(on(config, kind, layer=layer), ("classify", "attribute"))


def test_tokens_find_the_last_layer_that_is_a_map(config):
    run_stages(on(config, "tokens", method="cam"), ("classify", "attribute"))
    assert LocalizationMaps.load(Path(config.out) / "tokens/maps" / f"{IMAGE}.npz").maps.any()
