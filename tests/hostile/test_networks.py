"""Networks in files that cannot be used: NaN, and descriptions that are damaged. One sentence names the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from advcam.classify.settings import ClassifySettings
from advcam.classify.validation import own_scores
from advcam.data.record import ImageSet, Record
from advcam.errors import ModelError
from advcam.models import BackboneSettings, build_classifier
from advcam.models.architectures import build_backbone
from advcam.models.taps import tapped
from advcam.refine.irn.inference import edge_map
from advcam.refine.irn.network import IRNNetwork
from advcam.refine.psa.inference import image_affinities
from advcam.refine.psa.network import AffinityNet
from advcam.refine.psa_settings import PSASettings
from advcam.saliency.detector import U2NetDetector
from advcam.saliency.u2net import PLANS, U2Net
from advcam.segment.inference import Segmenter

PREDICT = ("--out", "labelled", "--device", "cpu")


@pytest.fixture
def network(photos, segmentation) -> Path:
    return Path(shutil.copytree(segmentation, "network"))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers(photos, network, call, value):
    file = network / "model.safetensors"
    tensors = load_file(file)
    name = next(key for key, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name].flatten()[0] = value
    save_file(tensors, file)
    code, lines = call("predict", photos, "--model", network, *PREDICT)
    assert code == 2
    assert f"network/model.safetensors has NaN or infinite weights, such as in '{name}'" in lines[-1]


@pytest.mark.parametrize(
    "change",
    [
        {"mean": ["a", 1, 2]},
        {"std": [0, 1, 1]},
        {"std": [1, 1]},
        {"class_names": [1, 2]},
        {"build": {}},
        {"build": {"architecture": "timm/test_resnet", "output_stride": 16, "rates": "x", "pyramid": []}},
        {"multiple": 0},
        {"method": []},
    ],
)
def test_descriptions_of_the_wrong_kind(photos, network, call, change):
    file = network / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    code, lines = call("predict", photos, "--model", network, *PREDICT)
    assert code == 2
    assert "network/config.json" in lines[-1]


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"schema": 1, "mean": [NaN, 1, 1]}'])
def test_descriptions_that_are_no_json(photos, network, call, content):
    (network / "config.json").write_bytes(content)
    code, lines = call("predict", photos, "--model", network, *PREDICT)
    assert code == 2
    assert "network/config.json" in lines[-1]


def huge(network: torch.nn.Module) -> torch.nn.Module:
    """Finite weights with which a network cannot count."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(3e38)
    return network.eval()


def segmented(picture: np.ndarray) -> object:
    return Segmenter(huge(torch.nn.Conv2d(3, 3, 8, stride=8)), ("cat", "dog"), (0.5,) * 3, (0.5,) * 3)(picture)


def salient(picture: np.ndarray) -> object:
    return U2NetDetector(huge(U2Net(PLANS["u2netp"])), size=32)(["a"], [picture])


def edges(picture: np.ndarray) -> object:
    return edge_map(huge(IRNNetwork(tapped(build_backbone("timm/test_resnet")))), picture, pad=0)


def affine(picture: np.ndarray) -> object:
    return image_affinities(huge(AffinityNet(build_backbone("timm/test_resnet"))), picture, PSASettings())


def scored(picture: np.ndarray) -> object:
    Image.fromarray(picture).save("a.png")
    classifier = huge(build_classifier(BackboneSettings(architecture="timm/test_resnet", weights=None), 2))
    images = ImageSet(Path(), "", None, ("cat", "dog"), (Record("a", Path("a.png"), (0,)),))
    return own_scores(classifier, images, ClassifySettings())


@pytest.mark.parametrize("result", [segmented, salient, edges, affine, scored])
def test_results_that_are_no_numbers_are_refused_where_they_arise(tmp_path, monkeypatch, result):
    monkeypatch.chdir(tmp_path)
    picture = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    with pytest.raises(ModelError, match="came out as NaN or infinite: "):
        result(picture)
