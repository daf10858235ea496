"""The network of DeepLab-v2, its backbones, its losses."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn
from torch.nn.functional import cross_entropy as torch_cross_entropy

from advcam.errors import ModelError
from advcam.models.architectures import build_backbone, library_weights, own_names
from advcam.models.res2net import RES2NETS, res2net_features
from advcam.segment.deeplab import ASPP, DeepLab
from advcam.segment.loss import balanced_cross_entropy, cross_entropy, reduced, segmentation_loss


@pytest.fixture(scope="module")
def caffe() -> nn.Sequential:
    features = build_backbone("caffe_resnet101", 8).features
    assert isinstance(features, nn.Sequential)
    return features


def test_caffe_resnet101_is_that_of_deeplab(caffe: nn.Sequential) -> None:
    features = caffe
    network = DeepLab(features, 2048, 21)
    assert sum(parameter.numel() for parameter in network.parameters()) == 44_048_532
    strides = [features.get_submodule(f"layer{stage}.0.conv1").stride[0] for stage in (1, 2, 3, 4)]
    assert strides == [1, 2, 1, 1]
    dilations = [
        [features.get_submodule(f"layer{stage}.{block}.conv2").dilation[0] for block in (0, 1, 2)]
        for stage in (1, 2, 3, 4)
    ]
    assert dilations == [[1] * 3, [1] * 3, [2] * 3, [4] * 3]
    assert all(norm.momentum == 0.001 for norm in features.modules() if isinstance(norm, nn.BatchNorm2d))


@pytest.mark.parametrize(("side", "cells"), [(321, [41, 21, 31, 41]), (481, [61, 31, 46, 61])])
def test_grids_of_the_recipes(caffe: nn.Sequential, side: int, cells: list[int]) -> None:
    """The stem and the pooling of the caffe network, and the sizes of the smaller images."""
    stem = caffe[:5]
    grid = nn.Sequential(*stem, nn.MaxPool2d(1, 2), nn.Conv2d(64, 4, 1))
    network = DeepLab(grid, 4, 3, rates=(1,))
    assert [maps.shape[-1] for maps in network.pyramid_logits(torch.zeros(1, 3, side, side))] == cells


def test_the_channels_are_turned_round(caffe: nn.Sequential) -> None:
    image = torch.rand(1, 3, 4, 4)
    assert torch.equal(caffe[0](image)[:, 0], image[:, 2])


def test_deeplab_checkpoints_are_read_under_their_own_names(caffe: nn.Sequential) -> None:
    theirs = {}
    for key, value in caffe.state_dict().items():
        parts = key.split(".")
        if parts[0] in ("conv1", "bn1"):
            name = f"scope.layer1.conv1.{parts[0][:-1]}.{parts[1]}"
        else:
            stage, block, part, *rest = parts
            if part == "downsample":
                inner = f"shortcut.{('conv', 'bn')[int(rest[0])]}.{rest[1]}"
            else:
                inner = f"{('reduce', 'conv3x3', 'increase')[int(part[-1]) - 1]}.{part[:-1]}.{rest[0]}"
            name = f"scope.layer{int(stage[-1]) + 1}.block{int(block) + 1}.{inner}"
        theirs[name] = value
    renamed = own_names("caffe_resnet101", theirs, caffe.state_dict())
    assert [key.removeprefix("scope.") for key in renamed] == list(caffe.state_dict())


def test_res2net101_is_timms_and_res2net152_has_the_published_size() -> None:
    ours = res2net_features(RES2NETS["res2net101_v1b"]).eval()
    theirs = timm.create_model("res2net101d").eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    ours.load_state_dict({key: value for key, value in theirs.state_dict().items() if not key.startswith("fc.")})
    image = torch.randn(1, 3, 65, 97)
    with torch.no_grad():
        torch.testing.assert_close(ours(image), theirs.forward_features(image))
    head = 2049 * 1000
    assert round((sum(p.numel() for p in ours.parameters()) + head) / 1e6, 2) == 45.23
    with torch.device("meta"):
        larger = res2net_features(RES2NETS["res2net152_v1b"], 8)
        assert larger(torch.zeros(1, 3, 65, 65)).shape == (1, 2048, 9, 9)
    assert round((sum(p.numel() for p in larger.parameters()) + head) / 1e6, 2) == 61.29
    assert [len(larger.get_submodule(f"layer{stage}")) for stage in (1, 2, 3, 4)] == [3, 8, 36, 3]
    assert larger.get_submodule("layer3.0.convs.0").dilation == (2, 2)
    assert larger.get_submodule("layer4.1.convs.2").dilation == (4, 4)


@pytest.mark.parametrize("name", ["caffe_resnet101", "res2net152_v1b"])
def test_weights_that_no_library_has(name: str) -> None:
    with pytest.raises(ModelError, match=r"no library has.*name a file"):
        library_weights(name, "default")


def test_the_head_is_a_sum_of_dilated_convolutions() -> None:
    head = ASPP(8, 3, (1, 2))
    features = torch.randn(2, 8, 9, 7)
    expected = sum(
        nn.functional.conv2d(features, branch.weight, branch.bias, padding=rate, dilation=rate)
        for branch, rate in zip(head.branches, (1, 2), strict=True)
    )
    torch.testing.assert_close(head(features), expected)
    weights = ASPP(256, 21, (6, 12, 18, 24)).branches[0]
    assert abs(weights.weight.std().item() - 0.01) < 2e-4
    assert not weights.bias.any()


def test_the_highest_logit_of_all_sizes_counts() -> None:
    network = DeepLab(nn.Conv2d(3, 4, 3, stride=2, padding=1), 4, 3, rates=(1,))
    image = torch.randn(1, 3, 33, 29)
    own, half, three_quarters, fused = network.pyramid_logits(image)
    for maps, factor in ((half, 0.5), (three_quarters, 0.75)):
        small = nn.functional.interpolate(image, scale_factor=factor, mode="bilinear", align_corners=False)
        torch.testing.assert_close(maps, network.aspp(network.backbone(small)))
    enlarged = [
        nn.functional.interpolate(maps, own.shape[2:], mode="bilinear", align_corners=False)
        for maps in (half, three_quarters)
    ]
    assert torch.equal(fused, torch.stack([own, *enlarged]).amax(dim=0))
    assert torch.equal(network(image), fused)


def test_losses_by_hand() -> None:
    logits = torch.randn(2, 3, 2, 2, dtype=torch.float64)
    labels = torch.tensor([[[0, 1], [255, 2]], [[0, 0], [0, 1]]])
    pixels = torch_cross_entropy(logits, labels, ignore_index=255, reduction="none")
    background = (pixels[0, 0, 0] + pixels[1, 0, 0] + pixels[1, 0, 1] + pixels[1, 1, 0]) / 4
    objects = (pixels[0, 0, 1] + pixels[0, 1, 1] + pixels[1, 1, 1]) / 3
    torch.testing.assert_close(balanced_cross_entropy(logits, labels), (background + objects) / 2)
    torch.testing.assert_close(cross_entropy(logits, labels), pixels.sum() / 7)


@pytest.mark.parametrize("loss", [balanced_cross_entropy, cross_entropy])
def test_a_batch_without_labels_costs_nothing(loss) -> None:
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    value = loss(logits, torch.full((1, 2, 2), 255))
    value.backward()
    assert value.item() == 0
    assert not logits.grad.any()


def test_the_training_loss_is_a_sum_over_grids() -> None:
    masks = torch.randint(0, 3, (2, 12, 12), dtype=torch.uint8)
    logits = [torch.randn(2, 3, size, size) for size in (6, 3)]
    expected = sum(balanced_cross_entropy(maps, reduced(masks, maps.shape[2:])) for maps in logits)
    torch.testing.assert_close(segmentation_loss(logits, masks, "balanced"), expected)
