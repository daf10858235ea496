"""Class maps of finished classifiers: found, checked by numbers, or refused."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

import advcam
from advcam.errors import ModelError
from advcam.models import BackboneSettings, ClassMapper, build_classifier

TORCHVISION = [
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "mnasnet0_5",
    "mobilenet_v2",
    "resnet18",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "swin_t",
]
TIMM = [
    "inception_v3",
    "mobilenetv2_050",
    "regnety_002",
    "res2net50_26w_4s",
    "resnest14d",
    "resnet18",
    "tf_efficientnet_b0",
]


def torchvision_model(name: str) -> nn.Module:
    extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(name, weights=None, **extra)


def check(model: nn.Module, mapper: ClassMapper) -> None:
    side = (96, 128) if type(model).__name__.startswith("Inception") else (64, 96)
    images = torch.randn(2, 3, *side)
    with torch.no_grad():
        scores = model(images)
        maps = mapper.class_maps(images)
    pooled = maps.mean(dim=(2, 3)) + mapper.bias
    assert maps.shape[:2] == scores.shape
    assert maps.shape[2:].numel() > 1
    assert (pooled - scores).abs().max() <= 1e-5 * scores.abs().max()


@pytest.mark.parametrize("name", TORCHVISION)
def test_pooled_maps_are_the_output_of_torchvision_models(name: str) -> None:
    model = torchvision_model(name)
    check(model, ClassMapper.from_model(model))


@pytest.mark.parametrize("name", TIMM)
def test_pooled_maps_are_the_output_of_timm_models(name: str) -> None:
    model = timm.create_model(name)
    mapper = ClassMapper.from_model(model)
    check(model, mapper)
    assert mapper.mean == tuple(model.pretrained_cfg["mean"])
    assert mapper.std == tuple(model.pretrained_cfg["std"])


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "squeezenet1_1", "convnext_tiny", "alexnet"])
def test_torchvision_models_with_another_ending_are_refused(name: str) -> None:
    model = torchvision_model(name)
    model.train()
    with pytest.raises(ModelError, match=r"does not end in global average pooling.*Grad-CAM.*build_classifier"):
        ClassMapper.from_model(model)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "mambaout_femto", "vit_tiny_patch16_224"])
def test_timm_models_with_another_ending_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match="does not end in global average pooling"):
        ClassMapper.from_model(timm.create_model(name))


@pytest.mark.parametrize("pool", ["max", "avgmax", "catavgmax"])
def test_another_pooling_is_refused(pool: str) -> None:
    with pytest.raises(ModelError, match=r"spatial mean is what the head 'fc' receives|differ from its output"):
        ClassMapper.from_model(timm.create_model("resnet18", global_pool=pool))


def test_a_model_without_head_is_refused() -> None:
    with pytest.raises(ModelError, match="does not end in global average pooling"):
        ClassMapper.from_model(timm.create_model("resnet18", num_classes=0))


class Own(nn.Module):
    """A network as people write them: functional steps, a shared activation, a tuple or probabilities at the end."""

    def __init__(self, ending: str) -> None:
        super().__init__()
        self.ending = ending
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.body = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.head = nn.Linear(16, 5)
        self.logits = nn.Conv2d(16, 5, 1)

    def forward(self, images: Tensor) -> object:
        features = nn.functional.relu(self.body(self.act(self.stem(images))), inplace=True)
        if self.ending == "convolution":
            return self.logits(features).mean(dim=(2, 3))
        scores = self.head(features.mean(dim=(2, 3)))
        return {"plain": scores, "softmax": scores.softmax(1), "tuple": (scores, features)}[self.ending]


def test_functional_relu_before_the_pooling() -> None:
    model = Own("plain").double()
    mapper = ClassMapper.from_model(model, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    images = torch.randn(2, 3, 31, 50, dtype=torch.float64)
    maps = mapper.class_maps(images)
    expected = torch.einsum("kc,nchw->nkhw", model.head.weight, model.body(model.act(model.stem(images))).relu())
    torch.testing.assert_close(maps, expected, rtol=1e-12, atol=1e-12)
    assert (mapper.mean, mapper.std) == ((0.5,) * 3, (0.25,) * 3)


def test_a_convolution_that_is_pooled_afterwards_is_the_same() -> None:
    model = Own("convolution")
    images = torch.randn(2, 3, 32, 48)
    torch.testing.assert_close(ClassMapper.from_model(model)(images), model(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ending", ["softmax", "tuple"])
def test_a_named_head_is_measured_instead_of_the_output(ending: str) -> None:
    with pytest.raises(ModelError, match=r"differ from its output|returns a tuple instead of class scores"):
        ClassMapper.from_model(Own(ending))
    model = Own(ending)
    mapper = ClassMapper.from_model(model, head="head")
    images = torch.randn(1, 3, 32, 32)
    plain = Own("plain")
    plain.load_state_dict(model.state_dict())
    torch.testing.assert_close(mapper(images), plain(images), rtol=1e-5, atol=1e-6)


def test_named_layers() -> None:
    model = torchvision.models.resnet18(num_classes=5)
    mapper = ClassMapper.from_model(model, feature_layer="layer4.1", head="fc")
    check(model, mapper)
    with pytest.raises(ModelError, match="'layer3' gives no map whose spatial mean"):
        ClassMapper.from_model(model, feature_layer="layer3")
    with pytest.raises(ModelError, match=r"feature_layer 'layer5' is not a layer of ResNet.*layer4"):
        ClassMapper.from_model(model, feature_layer="layer5")
    with pytest.raises(ModelError, match="head 'avgpool' must be a linear layer"):
        ClassMapper.from_model(model, head="avgpool")


def test_a_model_for_one_image_size() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 7, stride=32, padding=3), nn.AvgPool2d(7), nn.Flatten(), nn.Linear(8, 4))
    assert ClassMapper.from_model(model).class_maps(torch.randn(1, 3, 224, 224)).shape == (1, 4, 7, 7)


def test_half_precision() -> None:
    mapper = ClassMapper.from_model(torchvision.models.resnet18().bfloat16())
    assert mapper.class_maps(torch.randn(1, 3, 64, 64).bfloat16()).dtype == torch.bfloat16


def test_probing_leaves_no_trace() -> None:
    model = torchvision.models.resnet18()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    ClassMapper.from_model(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_network_is_shared_and_gradients_reach_the_image() -> None:
    model = torchvision.models.resnet18()
    mapper = advcam.ClassMapper.from_model(model)
    images = torch.randn(1, 3, 64, 64, requires_grad=True)
    (gradient,) = torch.autograd.grad(mapper(images)[0, 3], images)
    (expected,) = torch.autograd.grad(model(images)[0, 3], images)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-6)
    with torch.no_grad():
        model.fc.weight.mul_(2)
        model.conv1.weight.mul_(0.5)
    check(model, mapper)


def test_own_classifier_keeps_its_statistics() -> None:
    settings = BackboneSettings("mobilenet_v2", weights=None, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    classifier = build_classifier(settings, 6)
    mapper = ClassMapper.from_model(classifier)
    assert mapper.std == (0.5, 0.5, 0.5)
    assert not mapper.training
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(mapper(images), classifier(images))
