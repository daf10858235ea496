"""Networks in files that cannot be used: NaN, and descriptions that are damaged. One sentence names the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

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
