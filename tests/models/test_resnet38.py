"""ResNet-38: its layers and parameters from the table of Model A1, its maps, and the names of published files."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import nn

from advcam.classify.freezing import frozen_parameters
from advcam.classify.methods import published_method
from advcam.errors import ModelError, SettingsError
from advcam.models import BackboneSettings, build_classifier
from advcam.models.architectures import build_backbone, library_weights
from advcam.models.classifier import Classifier
from advcam.models.resnet38 import FROZEN_UP_TO, ResNet38, from_mxnet_names, resnet38_backbone

# Block, channels in, between and out, stride, dilation of both 3 x 3 convolutions.
BASIC = (
    [("b2", 64, 128, 128, 2, 1, 1)]
    + [(f"b2_{k}", 128, 128, 128, 1, 1, 1) for k in (1, 2)]
    + [("b3", 128, 256, 256, 2, 1, 1)]
    + [(f"b3_{k}", 256, 256, 256, 1, 1, 1) for k in (1, 2)]
    + [("b4", 256, 512, 512, 2, 1, 1)]
    + [(f"b4_{k}", 512, 512, 512, 1, 1, 1) for k in (1, 2, 3, 4, 5)]
    + [("b5", 512, 512, 1024, 1, 1, 2)]
    + [(f"b5_{k}", 1024, 512, 1024, 1, 2, 2) for k in (1, 2)]
)
BOTTLENECKS = (("b6", 1024, 512, 1024, 2048), ("b7", 2048, 1024, 2048, 4096))


@pytest.fixture
def model_a1() -> ResNet38:
    with torch.device("meta"):
        return ResNet38()


@pytest.fixture
def narrow() -> ResNet38:
    """The same network with four channels instead of 64, statistics and scales other than new ones."""
    network = ResNet38(width=4)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias)
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
    return network.eval()


def expected_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"conv1a.weight": (64, 3, 3, 3)}

    def norm(name: str, channels: int) -> None:
        for value in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{value}"] = (channels,)

    for name, before, between, after, stride, _, _ in BASIC:
        norm(f"{name}.bn_branch2a", before)
        shapes[f"{name}.conv_branch2a.weight"] = (between, before, 3, 3)
        norm(f"{name}.bn_branch2b1", between)
        shapes[f"{name}.conv_branch2b1.weight"] = (after, between, 3, 3)
        if before != after or stride != 1:
            shapes[f"{name}.conv_branch1.weight"] = (after, before, 1, 1)
    for name, before, quarter, half, after in BOTTLENECKS:
        norm(f"{name}.bn_branch2a", before)
        shapes[f"{name}.conv_branch2a.weight"] = (quarter, before, 1, 1)
        norm(f"{name}.bn_branch2b1", quarter)
        shapes[f"{name}.conv_branch2b1.weight"] = (half, quarter, 3, 3)
        norm(f"{name}.bn_branch2b2", half)
        shapes[f"{name}.conv_branch2b2.weight"] = (after, half, 1, 1)
        shapes[f"{name}.conv_branch1.weight"] = (after, before, 1, 1)
    norm("bn7", 4096)
    return shapes


class TestModelA1:
    def test_names_and_shapes(self, model_a1):
        found = {
            name: tuple(tensor.shape)
            for name, tensor in model_a1.state_dict().items()
            if not name.endswith("num_batches_tracked")
        }
        assert found == expected_shapes()
        convolutions = sum(p.numel() for p in model_a1.parameters() if p.ndim == 4)
        assert convolutions == 105_023_168
        assert sum(p.numel() for p in model_a1.parameters()) - convolutions == 47_744

    def test_strides_and_dilations(self, model_a1):
        for name, *_, stride, first, second in BASIC:
            block = model_a1.get_submodule(name)
            convolutions = block.conv_branch2a, block.conv_branch2b1
            assert [layer.stride for layer in convolutions] == [(stride, stride), (1, 1)], name
            assert [layer.dilation for layer in convolutions] == [(first, first), (second, second)], name
        for name, dropout in (("b6", 0.3), ("b7", 0.5)):
            block = model_a1.get_submodule(name)
            assert block.conv_branch2b1.dilation == (4, 4)
            assert [block.dropout_2b1.p, block.dropout_2b2.p] == [dropout, dropout]
        assert all(layer.bias is None for layer in model_a1.modules() if isinstance(layer, nn.Conv2d))

    def test_maps(self, model_a1):
        images = torch.zeros(1, 3, 448, 448, device="meta")
        taps = model_a1.eval().taps(images)
        assert [tuple(tap.shape[1:]) for tap in taps] == [(512, 56, 56), (1024, 56, 56), (4096, 56, 56)]
        assert model_a1.tap_channels == (512, 1024, 4096)
        assert model_a1(images).shape == (1, 4096, 56, 56)


def test_blocks_from_their_definition(narrow):
    def rectified(norm: nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
        scale = norm.weight / (norm.running_var + 1e-5).sqrt()
        return ((x - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]).relu()

    x = torch.randn(1, 16, 9, 7)
    block = narrow.b3_1
    u = rectified(block.bn_branch2a, x)
    expected = x + block.conv_branch2b1(rectified(block.bn_branch2b1, block.conv_branch2a(u)))
    torch.testing.assert_close(block(x.clone()), expected)

    x = torch.randn(1, 8, 9, 7)
    block = narrow.b3
    u = rectified(block.bn_branch2a, x)
    branch = block.conv_branch2b1(rectified(block.bn_branch2b1, block.conv_branch2a(u)))
    torch.testing.assert_close(block(x.clone()), block.conv_branch1(u) + branch)

    x = torch.randn(1, 64, 9, 7)
    block = narrow.b6
    u = rectified(block.bn_branch2a, x)
    branch = rectified(block.bn_branch2b1, block.conv_branch2a(u))
    branch = block.conv_branch2b2(rectified(block.bn_branch2b2, block.conv_branch2b1(branch)))
    torch.testing.assert_close(block(x.clone()), block.conv_branch1(u) + branch)


def test_taps_are_what_the_convolutions_see(narrow):
    seen = {}
    for name in ("b5.conv_branch2a", "b6.conv_branch2a", "dropout7"):
        narrow.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: seen.update({name: inputs[0].clone()})
        )
    images = torch.randn(2, 3, 40, 56)
    output = narrow(images)
    for tap, name in zip(narrow.taps(images), ("b5.conv_branch2a", "b6.conv_branch2a", "dropout7"), strict=True):
        assert torch.equal(tap, seen[name])
        assert (tap >= 0).all()
    assert torch.equal(output, seen["dropout7"])


def test_whole_channels_are_left_out_while_training(narrow):
    narrow.train()
    output = narrow(torch.randn(2, 3, 40, 56))
    gone = (output == 0).all(dim=-1).all(dim=-1)
    assert 0.3 < gone.float().mean() < 0.7


def test_psa_trains_from_the_third_stage_on(narrow):
    frozen = {id(parameter) for parameter in frozen_parameters(narrow, FROZEN_UP_TO)}
    names = {name.partition(".")[0] for name, parameter in narrow.named_parameters() if id(parameter) in frozen}
    assert names == {"conv1a", "b2", "b2_1", "b2_2"}


def mxnet_name(name: str) -> str:
    """A name of ours as MXNet has it: the other way round, written by hand."""
    block, _, rest = name.partition(".")
    values = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_var"}
    if block == "conv1a":
        return "arg:conv1a_weight"
    if block == "bn7":
        return ("aux:" if "running" in rest else "arg:") + f"bn7_{values[rest]}"
    stage, _, index = block[1:].partition("_")
    place = f"{stage}b{index}" if index else f"{stage}a"
    layer, _, value = rest.partition(".")
    kind, branch = layer.split("_")
    if kind == "conv":
        return f"arg:res{place}_{branch}_weight"
    return ("aux:" if "running" in value else "arg:") + f"bn{place}_{branch}_{values[value]}"


def test_mxnet_names(narrow):
    own = [name for name in narrow.state_dict() if not name.endswith("num_batches_tracked")]
    assert mxnet_name("b4_3.bn_branch2b1.running_var") == "aux:bn4b3_branch2b1_moving_var"
    theirs = {mxnet_name(name): torch.zeros(1) for name in own}
    assert list(from_mxnet_names(theirs)) == own
    assert list(from_mxnet_names({"arg:linear1000_weight": torch.zeros(1)})) == ["arg:linear1000_weight"]


class TestAsBackbone:
    @pytest.fixture
    def small(self, monkeypatch):
        """``resnet38`` by name, four channels wide: the real one takes seconds."""
        monkeypatch.setattr("advcam.models.resnet38.ResNet38", lambda: ResNet38(width=4))

    def test_facts(self, small):
        backbone = build_backbone("resnet38")
        assert (backbone.channels, backbone.output_stride, backbone.head_name) == (256, 8, "fc8")
        assert build_backbone("resnet38", 8).mean == (0.485, 0.456, 0.406)
        with pytest.raises(ModelError, match="output stride of 8, not 16"):
            resnet38_backbone("resnet38", 16)
        with pytest.raises(SettingsError, match="in no library, so it has no weights 'default'"):
            library_weights("resnet38", "default")

    @pytest.mark.parametrize("layout", ["psa", "mxnet"])
    def test_a_published_file_becomes_a_classifier(self, small, narrow, tmp_path, layout):
        tensors = dict(narrow.state_dict())
        head = torch.randn(20, 256, 1, 1)
        if layout == "psa":  # a trained classifier, saved from several devices
            tensors = {f"module.{name}": tensor for name, tensor in tensors.items()} | {"module.fc8.weight": head}
        else:
            tensors = {mxnet_name(name): tensors[name] for name in tensors if "num_batches" not in name}
            tensors["arg:linear1000_weight"] = torch.randn(1000, 256)
        path = tmp_path / "res38.pth"
        torch.save(tensors, path)
        settings = BackboneSettings(architecture="resnet38", weights=str(path))
        classifier = build_classifier(settings, 20, require_head=layout == "psa").eval()
        images = torch.randn(1, 3, 40, 56)
        assert torch.equal(classifier.backbone(images), narrow(images))
        if layout == "psa":
            assert torch.equal(classifier.head.weight, head.flatten(1))
            again = Classifier(build_backbone("resnet38"), 20)
            again.load_library_state_dict(classifier.library_state_dict(), "its own tensors", require_head=True)
            assert torch.equal(again.eval()(images), classifier(images))

    def test_another_file_is_refused(self, small, tmp_path):
        path = tmp_path / "other.pth"
        torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
        with pytest.raises(ModelError, match="weights of another architecture than resnet38"):
            build_classifier(BackboneSettings(architecture="resnet38", weights=str(path)), 20)

    # Beside the backbone's: name, channels out and in, all of the published width.
    HEADS: ClassVar = {
        "seam": (("fc8", 21, 256), ("f8_3", 64, 32), ("f8_4", 128, 64), ("f9", 192, 195)),
        "sub_categories": (("fc8_20", 20, 256), ("fc8_200", 200, 256)),
    }

    @pytest.mark.parametrize("method", HEADS)
    def test_the_files_of_seam_and_sc_cam(self, small, narrow, tmp_path, method):
        heads = {f"{name}.weight": torch.randn(out, into, 1, 1) for name, out, into in self.HEADS[method]}
        tensors = {name: value for name, value in narrow.state_dict().items() if "num_batches" not in name}
        torch.save(tensors | heads, tmp_path / "w.pth")
        assert set(tensors) == set(expected_shapes())
        backbone = BackboneSettings(architecture="resnet38")
        network = published_method(method, tmp_path / "w.pth", backbone, 20)
        images = torch.randn(1, 3, 40, 56)
        features, head = narrow.taps(images)[-1], heads.get("fc8_20.weight")
        head = heads["fc8.weight"][1:] if head is None else head
        torch.testing.assert_close(network.classifier(images)[0], head.flatten(1) @ features.mean(dim=(2, 3))[0])
        if method == "seam":
            signed, _ = network.both_maps(images)
            torch.testing.assert_close(signed, nn.functional.conv2d(features, head))
            assert torch.equal(network.f9.weight, heads["f9.weight"])
        else:
            assert torch.equal(network.sub_head.weight, heads["fc8_200.weight"].flatten(1))
        lacking = {k: v for k, v in (tensors | heads).items() if k not in ("f8_4.weight", "fc8_20.weight")}
        torch.save(lacking, tmp_path / "w.pth")
        with pytest.raises(ModelError, match=r"f8_4\.weight|no linear head"):
            published_method(method, tmp_path / "w.pth", backbone, 20)
