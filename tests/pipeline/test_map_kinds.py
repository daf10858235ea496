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
from advcam.models.checkpoint import load_classifier, save_classifier
from advcam.models.classifier import build_classifier
from advcam.models.settings import BackboneSettings
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


def test_a_guide_multiplies_climbed_and_plain_maps(config, small_classifier, tmp_path):
    other = tmp_path / "guide"
    torch.manual_seed(1)
    settings = BackboneSettings(architecture="timm/resnet10t", weights=None, output_stride=16)
    save_classifier(other, build_classifier(settings, 2), settings, ("bar", "disc"))
    run_stages(on(config, "cam"), ("classify", "attribute"))
    own = replace(on(config, "cam", method="cam"), classifier=str(other), out=str(tmp_path / "plain"))
    run_stages(own, ("classify", "attribute"))
    guided = replace(on(config, "cam", guide=str(other)), out=str(tmp_path / "guided"))
    run_stages(guided, ("classify", "attribute"))

    def maps(out: str, kind: str) -> np.ndarray:
        return LocalizationMaps.load(Path(out) / kind / "maps" / f"{IMAGE}.npz").maps.astype(np.float32)

    for kind in ("advcam", "cam"):
        alone = maps(config.out, kind)
        product = np.sqrt(alone * maps(own.out, "cam"))
        highest = product.max(axis=(1, 2), keepdims=True)
        expected = np.where(highest > 0, product / np.maximum(highest, 1e-6), alone)
        assert expected.max() > 0
        np.testing.assert_allclose(maps(guided.out, kind), expected, atol=2e-3)
    run = Run.open(guided)
    other_scale = replace(guided, attribute=replace(guided.attribute, guide_scales=(0.5,)))
    assert keys(run, "cam", run.wanted) != keys(Run.open(other_scale), "cam", run.wanted)


def test_a_guide_of_other_classes_is_refused_before_anything_begins(config, tmp_path):
    settings = BackboneSettings(architecture="timm/resnet10t", weights=None, output_stride=16)
    save_classifier(tmp_path / "other", build_classifier(settings, 2), settings, ("cat", "dog"))
    with pytest.raises(ModelError, match=r"knows 2 classes \(cat, dog\), the data has 2 \(bar, disc\)"):
        run_stages(on(config, "cam", guide=str(tmp_path / "other")), ("classify", "attribute"))
    assert not (Path(config.out) / "classifier").exists()
    with pytest.raises(ModelError, match=r"--attribute\.guide .*nowhere: there is no such folder"):
        run_stages(on(config, "cam", guide=str(tmp_path / "nowhere")), ("classify", "attribute"))
