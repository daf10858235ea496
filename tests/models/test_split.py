"""A network cut behind a layer is the same function in two parts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import advcam
from advcam.errors import ModelError
from advcam.models import BackboneSettings, build_classifier
from advcam.models.fold import fold_batch_norm
from advcam.models.split import split_at

LAYERS = {
    "torchvision/mobilenet_v2": ("features.6", 32),
    "torchvision/resnet18": ("layer2", 128),
    "timm/test_resnet": ("model.layer1", 32),
}


def mapper_of(architecture: str) -> advcam.ClassMapper:
    torch.manual_seed(0)
    return build_classifier(BackboneSettings(architecture=architecture, weights=None), 4).eval().mapper()


@pytest.mark.parametrize("architecture", LAYERS)
def test_both_parts_together_are_the_network(architecture):
    whole, image = mapper_of(architecture), torch.randn(1, 3, 72, 88)
    layer, channels = LAYERS[architecture]
    split = split_at(whole, layer)
    with torch.no_grad():
        start = split.stem(image)
        assert start.shape[1] == channels
        assert torch.equal(split.maps_from(start), whole.class_maps(image))
        assert torch.equal(split.class_maps(image), whole.class_maps(image))
    assert split.layer == layer
    assert whole.layer is None


def test_a_split_network_can_be_folded():
    whole, image = mapper_of("torchvision/mobilenet_v2"), torch.randn(1, 3, 64, 80)
    folded = fold_batch_norm(split_at(whole, "features.6"))
    assert folded.layer == "features.6"
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    with torch.no_grad():
        torch.testing.assert_close(folded.class_maps(image), whole.class_maps(image), rtol=1e-3, atol=1e-4)


def chain(*layers: nn.Module) -> advcam.ClassMapper:
    return advcam.ClassMapper(nn.Sequential(*layers), torch.ones(2, 8)).eval()


def test_what_is_handed_over_survives_a_layer_that_works_in_place():
    split = split_at(chain(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True)), "0")
    start = split.stem(torch.randn(1, 3, 8, 8)).detach().requires_grad_()
    before = start.detach().clone()
    (gradient,) = torch.autograd.grad(split.maps_from(start).sum(), start)
    assert torch.equal(start, before)
    assert torch.equal(gradient, 2.0 * (before > 0))


def test_parameters_are_shared_and_modes_left_alone():
    whole = chain(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1)).train()
    split = split_at(whole, "1")
    assert all(module.training for module in whole.modules())
    assert {id(p) for p in split.parameters()} == {id(p) for p in whole.parameters()}
    image = torch.randn(2, 3, 9, 9)
    with whole.frozen(), split.frozen():
        assert torch.equal(split.class_maps(image), whole.class_maps(image))


class Around(nn.Module):
    """A connection that leads around a layer, and one whose output is no map."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.pool = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Flatten(2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.one(images)
        return self.pool(x + self.two(x)).unflatten(2, images.shape[2:])


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        ("two", "a connection leads around layer 'two'"),
        ("pool", "cannot be cut|leads around"),
        ("on", "has no layer 'on' to climb from: did you mean one of one"),
    ],
)
def test_layers_that_cannot_be_climbed_from(layer, sentence):
    with pytest.raises(ModelError, match=sentence):
        split_at(advcam.ClassMapper(Around(), torch.ones(2, 8)), layer)


def test_a_split_network_is_not_split_again():
    split = split_at(chain(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1)), "0")
    with pytest.raises(ModelError, match="split at '0' already"):
        split_at(split, "0")


def test_a_layer_that_gives_no_map_is_refused():
    mapper = chain(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(2), nn.Unflatten(2, (64, 96)))
    with pytest.raises(ModelError, match="no C x h x w map"):
        split_at(mapper, "1")


def test_a_network_that_cannot_be_traced_is_refused():
    class Dependent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            x = self.conv(images)
            return x if x.sum() > 0 else -x

    with pytest.raises(ModelError, match=r"torch\.fx cannot trace it"):
        split_at(advcam.ClassMapper(Dependent(), torch.ones(2, 8)), "conv")
