"""Affinity as a component, on networks whose opinions are known; and refinements one after another."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from advcam.errors import SettingsError
from advcam.models import ClassMapper
from advcam.refine import regions
from advcam.refine.affinity import Affinity, load_transformer
from advcam.refine.chain import Chain
from advcam.refine.feature_affinity import cosine_affinity
from advcam.refine.settings import AffinitySettings, check_chain
from advcam.refine.walk import random_walk


def colour_mapper() -> ClassMapper:
    """Cells of 4 pixels; class 0 is red, class 1 is blue."""
    weight = torch.tensor([[8.0, 0.0, -8.0], [-8.0, 0.0, 8.0]])
    return ClassMapper(nn.AvgPool2d(4), weight, mean=(0.0,) * 3, std=(1.0,) * 3)


def red_and_blue() -> np.ndarray:
    image = np.zeros((32, 48, 3), np.uint8)
    image[:, :24, 0], image[:, 24:, 2] = 255, 255
    return image


@pytest.mark.parametrize("source", ["classes", "features"])
def test_maps_fill_what_the_classifier_finds_alike(source):
    maps = torch.zeros(2, 32, 48)
    maps[0, 12:20, 4:12], maps[1, 4:8, 36:40] = 1.0, 0.5
    walked = Affinity(AffinitySettings(source=source, beta=8.0, steps=200), mapper=colour_mapper())(
        red_and_blue(), maps
    )
    assert walked.shape == maps.shape
    torch.testing.assert_close(walked.amax(dim=(1, 2)), torch.ones(2))
    assert walked[0, :, :20].min() > 0.7
    assert walked[0, :, 28:].max() < 0.05
    assert walked[1, :, 28:].min() > 0.7
    nothing = torch.zeros_like(maps)
    assert Affinity(AffinitySettings(source=source), mapper=colour_mapper())(red_and_blue(), nothing) is nothing


def test_a_transformer_gives_tokens_and_attention(tmp_path):
    torch.manual_seed(0)
    name = "test_vit"
    model = timm.create_model(name, num_classes=0)
    save_file(model.state_dict(), tmp_path / "vit.safetensors")
    loaded = load_transformer(name, str(tmp_path / "vit.safetensors"), torch.device("cpu"))
    maps = torch.rand(2, 40, 60)
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    for source in ("tokens", "attention"):
        settings = AffinitySettings(source=source, model=name, weights="vit.safetensors", steps=2, layers=2)
        walked = Affinity(settings, transformer=loaded)(image, maps)
        assert walked.shape == maps.shape
        torch.testing.assert_close(walked.amax(dim=(1, 2)), torch.ones(2))
        assert torch.equal(walked, Affinity(settings, transformer=model)(image, maps))
    with pytest.raises(SettingsError):
        load_transformer("resnet18", str(tmp_path / "vit.safetensors"), torch.device("cpu"))
    for wrong in ({"source": "tokens"}, {"beta": 0.0}, {"radius": 1}):
        with pytest.raises(SettingsError):
            AffinitySettings(**wrong)
    with pytest.raises(SettingsError):
        Affinity(AffinitySettings())


def test_a_chain_is_its_links_in_order():
    image, maps = red_and_blue(), torch.zeros(2, 32, 48)
    maps[0, 12:20, 4:12], maps[1, 4:8, 36:40] = 1.0, 0.5
    features = torch.from_numpy(image).permute(2, 0, 1).float()
    parts = 1 + (torch.from_numpy(image[..., 2]) > 0).long()

    def affinity(_, maps):
        return random_walk(maps, cosine_affinity(features, 3) ** 8, steps=4)

    def vote(_, mask):
        return regions(mask, parts, covered=0.05)

    chain = Chain.of(("affinity", "regions"), {"affinity": affinity, "regions": vote})
    torch.testing.assert_close(chain.maps(SimpleNamespace(image=image, maps=maps)), affinity(None, maps))
    labels = chain.labels(SimpleNamespace(image=image, maps=maps), 0.2)
    assert labels.dtype == torch.uint8
    assert labels[0].tolist() == [1] * 24 + [0] * 24
    assert not chain.labels(SimpleNamespace(image=image, maps=torch.zeros_like(maps)), 0.2).any()
    assert chain.labels(SimpleNamespace(image=image, maps=maps[:0]), 0.2).shape == (32, 48)


@pytest.mark.parametrize("links", [(), ("crf", "affinity"), ("regions", "pamr"), ("sharpen",)])
def test_chains_without_sense_are_refused(links):
    with pytest.raises(SettingsError):
        check_chain(links)
