"""CCT's network: sizes, parameters, the program's checkpoints, several scales."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from advcam.errors import ModelError, SettingsError
from advcam.segment.cct.network import CCTNetwork, CCTTraining, load_published, our_names
from advcam.segment.cct.psp import BINS, MeanOfParts
from advcam.segment.cct.settings import CCTSettings
from advcam.segment.cct.task import start_cct
from advcam.segment.checkpoint import load, save_network
from advcam.segment.inference import class_logits, pad_to_multiple
from advcam.segment.onnx import export_onnx


def tiny_network(labels: int = 3) -> CCTNetwork:
    return CCTNetwork(nn.Conv2d(3, 8, 3, 4, padding=1), 8, stride=4, width=6, num_labels=labels).eval()


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def default_network() -> CCTNetwork:
    names = tuple(str(number) for number in range(20))
    segmenter, build = start_cct(CCTSettings(weights=None), names)
    assert build == {"architecture": "timm/resnet50s", "output_stride": 8, "width": 512}
    return segmenter.network


class TestDefault:
    def test_parameters(self, default_network):
        """23.63 + 23.07 million, and 16,296 for each of 31 decoders (section 4.1 of the facts)."""
        training = CCTTraining(default_network, CCTSettings())
        assert parameters(default_network.encoder.base) == 23_631_808
        assert parameters(default_network.encoder.psp) == 23_073_792
        assert parameters(training) == 23_631_808 + 23_073_792 + 31 * 16_296

    def test_stem_and_dilations(self, default_network):
        base = default_network.encoder.base.model
        convolutions = [layer for layer in base.conv1 if isinstance(layer, nn.Conv2d)]
        assert [(c.out_channels, c.stride) for c in convolutions] == [(64, (2, 2)), (64, (1, 1)), (128, (1, 1))]
        assert [block.conv2.dilation[0] for block in base.layer3] == [1, 2, 2, 2, 2, 2]
        assert [block.conv2.dilation[0] for block in base.layer4] == [2, 4, 4]
        assert [block.conv2.stride[0] for block in base.layer2] == [2, 1, 1, 1]

    def test_program_checkpoint(self, default_network, tmp_path):
        """Every tensor of the network under the program's name, and back."""
        theirs = {}
        stem = {"conv1.0": "conv1", "conv1.1": "bn1", "conv1.3": "conv2", "conv1.4": "bn2", "conv1.6": "conv3"}
        stem["bn1"] = "bn3"
        for name, tensor in default_network.state_dict().items():
            if name.startswith("encoder.base.model.layer"):
                new = f"encoder.base.{name[len('encoder.base.model.layer') :]}"
            elif name.startswith("encoder.base.model."):
                layer, _, kind = name[len("encoder.base.model.") :].rpartition(".")
                new = f"encoder.base.0.0.{stem[layer]}.{kind}"
            else:
                new = name.replace("decoder.", "main_decoder.upsample.")
            theirs[f"module.{new}"] = torch.full_like(tensor, len(theirs))
        assert set(our_names(theirs)) == set(default_network.state_dict())
        torch.save(
            {"state_dict": theirs | {"module.aux_decoders.0.upsample.0.weight": torch.zeros(1)}}, tmp_path / "a.pth"
        )
        network = CCTNetwork(default_network.encoder.base, 2048, stride=8, width=512, num_labels=21)
        load_published(network, str(tmp_path / "a.pth"))
        assert network.encoder.base.model.conv1[3].weight.unique().tolist() == [
            float(list(theirs).index("module.encoder.base.0.0.conv2.weight"))
        ]
        with torch.device("meta"):
            other = CCTNetwork(default_network.encoder.base, 2048, stride=8, width=512, num_labels=3)
        with pytest.raises(ModelError, match=r"for 3 labels, .* instead of"):
            load_published(other, str(tmp_path / "a.pth"))
        torch.save({"x": torch.zeros(1)}, tmp_path / "b.pth")
        with pytest.raises(ModelError, match="it lacks"):
            load_published(network, str(tmp_path / "b.pth"))


def test_padding():
    row = torch.arange(5.0).expand(1, 3, 4, 5)
    assert pad_to_multiple(row, 4)[0, 0].tolist() == [[0, 1, 2, 3, 4, 3, 2, 1]] * 4
    assert pad_to_multiple(row[..., :1], 4)[0, 0].tolist() == [[0, 0, 0, 0]] * 4
    assert pad_to_multiple(row, 1) is row


@pytest.mark.parametrize("size", [(12, 12), (13, 7), (1, 5), (40, 61)])
def test_means_of_parts_are_torchs(size):
    features = torch.randn(2, 3, *size, dtype=torch.float64)
    for parts in BINS:
        expected = nn.functional.adaptive_avg_pool2d(features, parts)
        torch.testing.assert_close(MeanOfParts(parts)(features), expected, rtol=1e-13, atol=1e-14)


def test_onnx(tiny_settings, tmp_path):
    pytest.importorskip("onnxruntime")
    segmenter, _ = start_cct(tiny_settings, ("bar", "disc"))
    segmenter.network.eval()
    assert export_onnx(segmenter, tmp_path / "model.onnx") < 1e-5


def test_several_scales_as_the_program():
    """Padded to whole cells, each scale decoded and enlarged to the padded size, mirrored, averaged, cut."""
    network, image = tiny_network(), torch.randn(1, 3, 15, 22)
    padded, total = pad_to_multiple(image, 4), torch.zeros(1)
    for scale in (0.5, 0.75, 1.0, 1.25, 1.5):
        scaled = nn.functional.interpolate(padded, scale_factor=scale, mode="bilinear", align_corners=False)
        views = [network(scaled), network(scaled.flip(-1))]
        plain, mirrored = (nn.functional.interpolate(v, (16, 24), mode="bilinear", align_corners=True) for v in views)
        total = total + 0.5 * (mirrored.flip(-1) + plain) / 5
    found = class_logits(network, image, (0.5, 0.75, 1.0, 1.25, 1.5), True, align_corners=True, multiple=4)
    torch.testing.assert_close(found, total[..., :15, :22])


def test_saved_and_loaded(tiny_settings, tmp_path):
    segmenter, build = start_cct(tiny_settings, ("bar", "disc"))
    segmenter.network.eval()
    save_network(tmp_path, segmenter, "cct", build)
    again = load(tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (33, 50, 3), dtype=np.uint8)
    assert again.multiple == 16
    assert torch.equal(again.logits([image]), segmenter.logits([image]))
    assert again(image).shape == (33, 50)


def test_crop_must_fit_the_stride(tiny_settings):
    with pytest.raises(SettingsError, match="take 32"):
        start_cct(replace(tiny_settings, crop=40), ("a",))


@pytest.mark.parametrize("architecture", ["timm/mobilenetv2_100", "timm/test_efficientnet"])
def test_other_backbones(architecture):
    settings = CCTSettings(architecture=architecture, weights=None, output_stride=16, psp_channels=8)
    segmenter, _ = start_cct(settings, ("a", "b"))
    assert segmenter.network.eval()(torch.zeros(1, 3, 48, 64)).shape == (1, 3, 48, 64)
