"""Networks by name: grids, heads, statistics, refusals."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import timm
import torch
import torchvision
from torch import nn

from advcam.errors import ModelError, SettingsError
from advcam.models import BackboneSettings, Classifier, build_classifier
from advcam.models.architectures import build_backbone, find_architecture


def build(architecture: str, num_classes: int = 5, **options: object) -> Classifier:
    return build_classifier(BackboneSettings(architecture, weights=None, **options), num_classes).eval()


GRIDS = [
    ("resnet18", (32, 16, 8)),
    ("mobilenet_v2", (32, 16, 8)),
    ("mobilenet_v3_small", (16,)),
    ("efficientnet_b0", (16,)),
    ("regnet_y_400mf", (8,)),
    ("mnasnet0_5", (16,)),
    ("shufflenet_v2_x0_5", (32, 16, 8)),
    ("timm/res2net50_26w_4s", (16,)),
    ("timm/resnest14d", (8,)),
    ("timm/regnety_002", (32, 16, 8)),
    ("timm/mobilenetv3_small_050", (32, 16, 8)),
    ("timm/tf_efficientnet_b0", (16,)),
]


@pytest.mark.parametrize(("name", "stride"), [(name, stride) for name, strides in GRIDS for stride in strides])
def test_grids(name: str, stride: int) -> None:
    classifier = build(name, output_stride=stride)
    images = torch.randn(2, 3, 65, 97)
    maps = classifier.mapper().class_maps(images)
    assert maps.shape == (2, 5, math.ceil(65 / stride), math.ceil(97 / stride))
    assert classifier.output_stride == stride
    torch.testing.assert_close(maps.mean(dim=(2, 3)), classifier(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["vgg11_bn", "densenet121", "inception_v3", "timm/convnext_atto"])
def test_the_library_head_is_replaced_whatever_it_was(name: str) -> None:
    classifier = build(name, head_bias=True)
    images = torch.randn(1, 3, 160, 128)
    maps = classifier.mapper().class_maps(images)
    assert classifier.output_stride == 32
    assert maps.shape[2] > maps.shape[3]
    torch.testing.assert_close(maps.mean(dim=(2, 3)) + classifier.head.bias, classifier(images), rtol=1e-4, atol=1e-5)


def test_irn_resnet50_has_the_grid_of_the_paper() -> None:
    classifier = build("irn_resnet50", 20)
    with torch.no_grad():
        maps = classifier.mapper().class_maps(torch.randn(1, 3, 375, 500))
    assert maps.shape == (1, 20, 24, 32)
    assert classifier.head.bias is None
    assert classifier.output_stride == 16
    convolutions = [module for module in classifier.backbone.modules() if isinstance(module, nn.Conv2d)]
    assert all(module.dilation == (1, 1) for module in convolutions)
    layer4 = classifier.backbone.get_submodule("layer4")
    assert {module.stride for module in layer4.modules() if isinstance(module, nn.Conv2d)} == {(1, 1)}
    with pytest.raises(ModelError, match="irn_resnet50 has an output stride of 16, not 8"):
        build("irn_resnet50", output_stride=8)


def test_dilation_is_that_of_torchvision() -> None:
    reference = torchvision.models.resnet50(num_classes=5, replace_stride_with_dilation=[False, True, True]).eval()
    classifier = build("resnet50", head_bias=True, output_stride=8)
    assert classifier.load_library_state_dict(reference.state_dict(), "the reference")
    images = torch.randn(1, 3, 65, 97)
    with torch.no_grad():
        torch.testing.assert_close(classifier(images), reference(images), rtol=1e-5, atol=1e-6)


def test_mobilenet_stride_16_dilates_the_last_group() -> None:
    features = build("mobilenet_v2", output_stride=16).backbone.get_submodule("features")
    depthwise = {i: features[i].conv[1][0] for i in range(13, 18)}
    assert [depthwise[i].stride for i in depthwise] == [(1, 1)] * 5
    assert [depthwise[i].dilation for i in depthwise] == [(1, 1), (1, 1), (2, 2), (2, 2), (2, 2)]
    assert depthwise[17].padding == (2, 2)


def test_timm_statistics_and_unused_parts() -> None:
    classifier = build("timm/mobilenetv3_small_050")
    config = timm.create_model("mobilenetv3_small_050").pretrained_cfg
    assert (classifier.mean, classifier.std) == (tuple(config["mean"]), tuple(config["std"]))
    assert classifier.input_size == (224, 224)
    classifier(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all(parameter.grad is not None for parameter in classifier.parameters())


def test_input_statistics() -> None:
    assert build("resnet18").mean == (0.485, 0.456, 0.406)
    assert build("resnet18", mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.5)).mapper().mean == (0.1, 0.2, 0.3)


def test_inception_wants_centred_input() -> None:
    reference = torchvision.models.inception_v3(num_classes=5, transform_input=True, init_weights=False).eval()
    classifier = build("inception_v3", head_bias=True)
    classifier.load_library_state_dict(reference.state_dict(), "the reference")
    assert (classifier.mean, classifier.std, classifier.input_size) == ((0.5,) * 3, (0.5,) * 3, (299, 299))
    pixels = torch.rand(1, 3, 96, 96)
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with torch.no_grad():
        found, expected = classifier((pixels - 0.5) / 0.5), reference((pixels - mean) / std)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_training_moves_the_maps() -> None:
    classifier = build("resnet18").train()
    mapper = classifier.mapper()
    groups = classifier.parameter_groups()
    assert [len(groups["backbone"]), len(groups["head"])] == [60, 1]
    optimizer = torch.optim.SGD([{"params": groups["backbone"]}, {"params": groups["head"], "lr": 1.0}], lr=0.1)
    images = torch.randn(2, 3, 64, 64)
    classifier(images).square().sum().backward()
    optimizer.step()
    classifier.eval()
    torch.testing.assert_close(mapper(images), classifier(images))
    classifier.backbone.requires_grad_(False)
    assert classifier.parameter_groups()["backbone"] == []


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("resnet5", SettingsError, r"'resnet5' is known to neither.*torchvision/resnet50"),
        ("torchvision/res2net101_26w_4s", SettingsError, "known to neither"),
        ("timm/resnett18", SettingsError, "timm/resnet18"),
        ("qwertyuiop", SettingsError, "such as resnet50"),
        ("vit_b_16", ModelError, "gives no feature map.*AdvCAM"),
        ("timm/vit_small_patch14_dinov2", ModelError, "patches of 14 pixels, and 8, 16 or 32 are needed"),
        ("timm/mambaout_femto", ModelError, "gives no feature map"),
        ("timm/resnet18.no_such_tag", ModelError, "check the tag"),
    ],
)
def test_unfit_names(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build(name)


@pytest.mark.parametrize(
    ("name", "stride", "message"),
    [
        ("densenet121", 16, r"densenet121 does not offer an output stride of 16: layer 'features.transition3.pool'"),
        ("timm/densenet121", 16, "does not offer an output stride of 16"),
        ("squeezenet1_1", 32, "its output stride is 16 and cannot be made coarser"),
    ],
)
def test_unfit_strides(name: str, stride: int, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build(name, output_stride=stride)


def test_names_are_completed() -> None:
    assert find_architecture("timm/resnet18.tv_in1k") == "timm/resnet18.tv_in1k"
    assert find_architecture("resnet18") == "torchvision/resnet18"
    assert find_architecture("mobilenetv2_050") == "timm/mobilenetv2_050"
    assert find_architecture("irn_resnet50") == "irn_resnet50"


def test_no_class() -> None:
    with pytest.raises(ModelError, match="at least one class, not 0"):
        build("resnet18", 0)


def test_settings_load_without_torch() -> None:
    code = "import sys; from advcam.models import BackboneSettings; BackboneSettings(); print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_stride": 12}, "output_stride must be 8, 16, 32 or left out, not 12"),
        ({"mean": (0.5, 0.5, 0.5)}, "backbone.mean is set without backbone.std"),
        ({"mean": (0.5, 0.5), "std": (0.5, 0.5)}, "must have a value for each of 3 channels"),
        ({"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.0, 0.5)}, "must be positive"),
    ],
)
def test_senseless_settings(options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        BackboneSettings(**options)


def test_a_transformer_is_mapped_on_the_grid_of_its_patches() -> None:
    backbone = build_backbone("timm/test_vit")
    assert (backbone.output_stride, backbone.channels) == (16, 64)
    model, features = backbone.features.model, backbone.features.eval()
    images = torch.randn(1, 3, 100, 64)
    # Padded to whole patches: 7 x 4 cells, behind the class token.
    tokens = model.forward_features(images)[:, 1:]
    torch.testing.assert_close(features(images), tokens.transpose(1, 2).reshape(1, 64, 7, 4))
    own = timm.create_model("test_vit", num_classes=3).state_dict()
    classifier = Classifier(backbone, 3).eval()
    assert classifier.load_library_state_dict(own, "timm's")
    torch.testing.assert_close(classifier.mapper()(images), classifier(images))
