"""The networks: sizes and names as published, against the blocks written out, and weights that load."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import interpolate, max_pool2d

from advcam.errors import ModelError
from advcam.saliency.checkpoint import load_detector, save_detector
from advcam.saliency.detector import fold
from advcam.saliency.u2net import PLANS, RSU, U2Net

# Convolutions of the blocks of stages 1 to 6.
DEPTHS = (7, 6, 5, 4, 4, 4)


def random_norms(network: nn.Module) -> nn.Module:
    """Batch norms that do something."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return network


@pytest.mark.parametrize(("name", "parameters"), [("u2net", 44_009_869), ("u2netp", 1_131_181)])
def test_as_many_parameters_as_published(name, parameters):
    with torch.device("meta"):
        network = U2Net(PLANS[name])
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_names_are_the_published_ones():
    blocks = [f"stage{stage}" for stage in range(1, 7)] + [f"stage{stage}d" for stage in range(1, 6)]
    units = {
        block: [
            "rebnconvin",
            *(f"rebnconv{level}" for level in range(1, DEPTHS[int(block[5]) - 1] + 1)),
            *(f"rebnconv{level}d" for level in range(1, DEPTHS[int(block[5]) - 1])),
        ]
        for block in blocks
    }
    parts = [f"conv_s1.{name}" for name in ("weight", "bias")]
    parts += [f"bn_s1.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]
    wanted = {f"{block}.{unit}.{part}" for block, names in units.items() for unit in names for part in parts}
    wanted |= {
        f"{side}.{name}" for side in [*(f"side{i}" for i in range(1, 7)), "outconv"] for name in ("weight", "bias")
    }
    with torch.device("meta"):
        assert set(U2Net(PLANS["u2netp"]).state_dict()) == wanted


def cbr(block: RSU, name: str, x: torch.Tensor) -> torch.Tensor:
    part = getattr(block, name)
    return part.bn_s1(part.conv_s1(x)).relu()


def up(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


@torch.no_grad()
def test_a_pooling_block_written_out():
    block = random_norms(RSU(4, 3, 4, 6)).double().eval()
    x = torch.randn(1, 3, 13, 18).double()
    x0 = cbr(block, "rebnconvin", x)
    e1 = cbr(block, "rebnconv1", x0)
    e2 = cbr(block, "rebnconv2", max_pool2d(e1, 2, ceil_mode=True))
    e3 = cbr(block, "rebnconv3", max_pool2d(e2, 2, ceil_mode=True))
    e4 = cbr(block, "rebnconv4", e3)
    d3 = cbr(block, "rebnconv3d", torch.cat([e4, e3], 1))
    d2 = cbr(block, "rebnconv2d", torch.cat([up(d3, e2), e2], 1))
    d1 = cbr(block, "rebnconv1d", torch.cat([up(d2, e1), e1], 1))
    torch.testing.assert_close(block(x), d1 + x0, rtol=1e-12, atol=1e-12)
    assert block.rebnconv4.conv_s1.dilation == (2, 2)
    assert block.rebnconv3.conv_s1.dilation == (1, 1)


@torch.no_grad()
def test_a_flat_block_dilates_and_never_pools():
    block = random_norms(RSU(4, 3, 4, 6, flat=True)).double().eval()
    x = torch.randn(1, 3, 9, 11).double()
    x0 = cbr(block, "rebnconvin", x)
    e = [cbr(block, "rebnconv1", x0)]
    for level in (2, 3, 4):
        e.append(cbr(block, f"rebnconv{level}", e[-1]))
    d3 = cbr(block, "rebnconv3d", torch.cat([e[3], e[2]], 1))
    d2 = cbr(block, "rebnconv2d", torch.cat([d3, e[1]], 1))
    d1 = cbr(block, "rebnconv1d", torch.cat([d2, e[0]], 1))
    torch.testing.assert_close(block(x), d1 + x0, rtol=1e-12, atol=1e-12)
    found = {level: getattr(block, f"rebnconv{level}").conv_s1.dilation[0] for level in ("1", "2", "3", "4")}
    assert found == {"1": 1, "2": 2, "3": 4, "4": 8}
    assert [getattr(block, f"rebnconv{level}d").conv_s1.dilation[0] for level in (3, 2, 1)] == [4, 2, 1]


@torch.no_grad()
def test_the_whole_network_written_out():
    network = random_norms(U2Net(PLANS["u2netp"])).eval()
    x = torch.randn(1, 3, 37, 50)
    e = [network.stage1(x)]
    for stage in range(2, 7):
        e.append(getattr(network, f"stage{stage}")(max_pool2d(e[-1], 2, ceil_mode=True)))
    d = {6: e[5]}
    for stage in range(5, 0, -1):
        skip = e[stage - 1]
        d[stage] = getattr(network, f"stage{stage}d")(torch.cat([up(d[stage + 1], skip), skip], 1))
    sides = torch.cat([up(getattr(network, f"side{stage}")(d[stage]), x) for stage in range(1, 7)], 1)
    wanted = torch.cat([network.outconv(sides), sides], 1)
    found = network(x)
    assert found.shape == (1, 7, 37, 50)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(fold(network)(x), wanted, rtol=1e-3, atol=1e-3)
    assert isinstance(network.stage1.rebnconv1.bn_s1, nn.BatchNorm2d)


def same(found: nn.Module, network: nn.Module) -> None:
    tensors = found.state_dict()
    assert all(torch.equal(tensors[key], value) for key, value in network.state_dict().items())


def test_weights_in_the_published_layout_load(tmp_path):
    network = random_norms(U2Net(PLANS["u2netp"]))
    torch.save(network.state_dict(), tmp_path / "u2netp.pth")
    torch.save({f"module.{key}": value for key, value in network.state_dict().items()}, tmp_path / "wrapped.pth")
    for name in ("u2netp.pth", "wrapped.pth"):
        found, size = load_detector(tmp_path / name, "u2netp")
        assert size == 320
        assert not found.training
        same(found, network)


def test_a_saved_detector_comes_back_with_its_size(tmp_path):
    network = random_norms(U2Net(PLANS["u2netp"]))
    save_detector(tmp_path / "detector", network, "u2netp", 160, "three pairs of nowhere")
    found, size = load_detector(tmp_path / "detector", "u2netp")
    assert size == 160
    same(found, network)
    assert set(load_file(tmp_path / "detector" / "model.safetensors")) == set(network.state_dict())


def test_other_weights_are_named(tmp_path):
    network = U2Net(PLANS["u2netp"])
    save_detector(tmp_path / "detector", network, "u2netp", 160, "")
    with pytest.raises(ModelError, match=r"is u2netp, but saliency\.source is u2net"):
        load_detector(tmp_path / "detector", "u2net")
    tensors = network.state_dict()
    tensors["stage1.rebnconvin.conv_s1.weight"] = torch.zeros(64, 4, 3, 3)
    torch.save(tensors, tmp_path / "shape.pth")
    with pytest.raises(ModelError, match=r"shape.pth has the weights of another network than u2netp.*\[64, 4, 3, 3\]"):
        load_detector(tmp_path / "shape.pth", "u2netp")
    tensors.pop("outconv.bias")
    torch.save(tensors, tmp_path / "less.pth")
    with pytest.raises(ModelError, match=r"it lacks 'outconv\.bias'"):
        load_detector(tmp_path / "less.pth", "u2netp")
    with pytest.raises(ModelError, match=r"nothing\.pth is not there"):
        load_detector(tmp_path / "nothing.pth", "u2netp")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"config.json is not there"):
        load_detector(tmp_path / "empty", "u2netp")
