"""One contract for every map that can be climbed, and Grad-CAM and its kin against pytorch-grad-cam."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import advcam
from advcam.attribute.climb import climb_pairs
from advcam.classify.seam import SEAM as SEAMNetwork
from advcam.classify.sub_categories import SubCategories as SubCategoriesNetwork
from advcam.classify.wsol.acol import ACoL as ACoLNetwork
from advcam.errors import ModelError
from advcam.models.backbone import Backbone
from advcam.models.classifier import Classifier
from advcam.models.tails import TailedFeatures, convolutions

STEPS = advcam.ClimbSettings(steps=4, reg_weight=0.01)


class Network(nn.Module):
    """Convolutions, pooling and one linear layer; class 4 is seen nowhere."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2))
        self.last = nn.Sequential(nn.Conv2d(8, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2))
        self.fc = nn.Linear(6, 5)
        with torch.no_grad():
            self.fc.weight[4] = -1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.last(self.first(x)).mean(dim=(2, 3)))


def of_tokens(network: Network) -> nn.Module:
    """The same with its last map as tokens behind a class token."""

    class Flat(nn.Module):
        def forward(self, f: torch.Tensor) -> torch.Tensor:
            tokens = f.flatten(2).transpose(1, 2)
            return torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)

    class TokenNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.flat, self.fc = nn.Sequential(network.first, network.last), Flat(), network.fc

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.flat(self.body(x))[:, 1:].mean(dim=1))

    return TokenNetwork()


def classifier_of(*parts: nn.Module, tail: nn.Module | None = None, channels: int = 6) -> Classifier:
    """A classifier on these parts, in their type; class 4 is seen nowhere."""
    features = nn.Sequential(*parts) if tail is None else TailedFeatures(nn.Sequential(*parts), tail)
    stride = 2 ** len(parts)
    name = "own/net" if tail is None else "own/net+acol"
    found = Classifier(Backbone(name, features, "", None, (0.5,) * 3, (0.5,) * 3, (16, 24), channels, stride), 5)
    nn.init.constant_(found.head.weight[4].detach(), -1.0)
    return found.to(next(parts[0].parameters()).dtype).eval()


def acol_of(net: Network) -> nn.Module:
    torch.manual_seed(5)
    tail = convolutions(6, width=10).to(net.fc.weight)
    network = ACoLNetwork(classifier_of(net.first, net.last, tail=tail, channels=10))
    return network.to(net.fc.weight).eval()


def seam_of(net: Network) -> nn.Module:
    torch.manual_seed(5)
    third = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)).to(net.fc.weight)
    return SEAMNetwork(classifier_of(net.first, net.last, third)).to(net.fc.weight).eval()


def parts_of(net: Network) -> nn.Module:
    torch.manual_seed(5)
    return SubCategoriesNetwork(classifier_of(net.first, net.last), clusters=2).to(net.fc.weight).eval()


MAPS = {
    "cam": lambda net: advcam.maps.CAM(advcam.ClassMapper.from_model(net)),
    "signed cam": lambda net: advcam.maps.CAM(advcam.ClassMapper.from_model(net), signed=True),
    "gradcam": lambda net: advcam.maps.GradCAM(net, "last"),
    "gradcam++": lambda net: advcam.maps.GradCAMpp(net, "last"),
    "layercam": lambda net: advcam.maps.LayerCAM(net, "last"),
    "two layers": lambda net: advcam.maps.LayerCAM(net, ["first", "last"]),
    "through weights": lambda net: advcam.maps.GradCAMpp(net, "last", through_weights=True),
    "tokens": lambda net: advcam.maps.Tokens(of_tokens(net), layer="flat"),
    "acol": lambda net: advcam.maps.ACoL(acol_of(net)),
    "seam": lambda net: advcam.maps.SEAM(seam_of(net)),
    "sub_categories": lambda net: advcam.maps.SubCategories(parts_of(net)),
}
SIDES = {"two layers": 2, "seam": 8}


def images(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, 16, 24, generator=torch.Generator().manual_seed(2)).double()


def plain(map_, x, classes):
    return advcam.climb(map_, x, classes, advcam.ClimbSettings(steps=1, flip=False))


@pytest.mark.parametrize("name", MAPS)
class TestContract:
    def map(self, name):
        return MAPS[name](Network().double().eval())

    def test_shape_units_and_climb(self, name):
        map_ = self.map(name)
        found = climb_pairs(map_, images(), [0, 2, 1], STEPS)
        side = SIDES.get(name, 4)
        assert found.maps.shape == found.cam.shape == (3, 16 // side, 24 // side)
        assert found.logits.shape == (3, 5)
        assert map_.units.stride == side
        assert found.maps.isfinite().all()
        assert found.cam.min() >= 0

    def test_batch_is_one_by_one(self, name):
        map_ = self.map(name)
        together = advcam.climb(map_, images(), [0, 2, 1], STEPS)
        alone = [advcam.climb(map_, images()[i : i + 1], [c], STEPS) for i, c in enumerate((0, 2, 1))]
        torch.testing.assert_close(together, torch.cat(alone), rtol=1e-9, atol=1e-12)

    def test_a_mirrored_image_has_the_mirrored_map(self, name):
        map_ = self.map(name)
        one, other = (advcam.climb(map_, x, [0, 2, 1], STEPS) for x in (images(), images().flip(-1)))
        torch.testing.assert_close(other.flip(-1), one, rtol=1e-6, atol=1e-9)

    def test_an_absent_class_is_a_map_of_zeros(self, name):
        if name == "two layers":
            pytest.skip("before the last layer a class that is seen nowhere has weights of both signs")
        found = climb_pairs(self.map(name), images(1), [4], replace(STEPS, steps=1))
        assert not found.cam.any()

    def test_precision_changes_the_map_by_rounding(self, name):
        double = plain(self.map(name), images(), [0, 2, 1])
        single = plain(MAPS[name](Network().eval()), images().float(), [0, 2, 1])
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), double, rtol=1e-3, atol=1e-4 * float(double.abs().max()))

    @pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
    def test_half_precision_has_no_nan(self, name, half):
        map_ = MAPS[name](Network().eval().to(half))
        found = climb_pairs(map_, images().to(half), [0, 2, 4], STEPS)  # class 4 is seen nowhere
        assert found.maps.dtype == half
        for tensor in (found.maps, found.cam, found.logits):
            assert tensor.isfinite().all()
        # Without the other classes nothing draws at the pixels of a class that is not seen.
        alone = advcam.climb(map_, images().to(half), [4, 4, 4], replace(STEPS, suppress_others=False))
        assert alone.isfinite().all()

    def test_the_network_is_left_as_it_was(self, name):
        network = Network().double().train()
        map_ = MAPS[name](network)
        network.train()
        with torch.no_grad():
            advcam.climb(map_, images(1), [0], STEPS)
        assert network.training
        assert all(p.requires_grad and p.grad is None for p in network.parameters())


def test_grad_cam_is_the_class_activation_map_where_there_is_one():
    net = Network().double().eval()
    expected = advcam.cam(advcam.ClassMapper.from_model(net), images(), [0, 2, 1])
    torch.testing.assert_close(plain(MAPS["gradcam"](net), images(), [0, 2, 1]), expected)
    torch.testing.assert_close(plain(MAPS["tokens"](net), images(), [0, 2, 1]), expected)


@pytest.mark.parametrize("peer", ["GradCAM", "GradCAMPlusPlus", "LayerCAM"])
@pytest.mark.parametrize("layer", ["first", "last"])
def test_equals_pytorch_grad_cam(peer, layer):
    peers = pytest.importorskip("pytorch_grad_cam")
    targets = [peers.utils.model_targets.ClassifierOutputTarget(c) for c in (0, 2, 1)]
    net = Network().eval()
    theirs = getattr(peers, peer)(net, [net.get_submodule(layer)])(images().float(), targets)
    kind = {"GradCAMPlusPlus": "GradCAMpp"}.get(peer, peer)
    maps = plain(getattr(advcam.maps, kind)(net, layer), images().float(), [0, 2, 1])
    for size in (None, (16, 24)):
        maps = maps if size is None else nn.functional.interpolate(maps[:, None], size, mode="bilinear")[:, 0]
        maps = maps - maps.amin(dim=(1, 2), keepdim=True)
        maps = maps / (1e-7 + maps.amax(dim=(1, 2), keepdim=True))
    torch.testing.assert_close(maps, torch.from_numpy(theirs), rtol=0, atol=1e-5)


class Counted(nn.Module):
    """Counts the images that pass, forward and back."""

    def __init__(self) -> None:
        super().__init__()
        self.forwards = self.backwards = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.forwards += len(x)
        y = x * 1.0
        if y.requires_grad:
            y.register_hook(self.count)
        return y

    def count(self, gradient: torch.Tensor) -> None:
        self.backwards += len(gradient)


@pytest.mark.parametrize("kind", ["CAM", "GradCAM", "GradCAMpp", "LayerCAM"])
def test_passes_per_step(kind):
    net = Network().double().eval()
    front, tail = Counted(), Counted()
    net.first = nn.Sequential(front, net.first)
    net.last = nn.Sequential(net.last, nn.Identity(), tail)
    if kind == "CAM":
        map_ = advcam.maps.CAM(advcam.ClassMapper.from_model(net, "last"))
    else:
        map_ = getattr(advcam.maps, kind)(net, "last.1")
    assert map_.units.stride == 4  # measured once, before passes are counted
    front.forwards = front.backwards = tail.forwards = tail.backwards = 0
    advcam.climb(map_, images(), [0, 2, 1], STEPS)
    steps, inputs = 4, 6
    assert front.forwards == tail.forwards == steps * inputs
    assert front.backwards == (steps - 1) * inputs
    # The gradient methods pass the tail once more at every step for their weights.
    assert tail.backwards == (steps - 1) * inputs + (0 if kind == "CAM" else steps * inputs)


@pytest.mark.parametrize("name", ["tokens", "seam", "sub_categories", "acol"])
def test_passes_per_step_of_other_networks(name):
    net = Network().double().eval()
    front, tail = Counted(), Counted()
    net.first = nn.Sequential(front, net.first)
    if name == "tokens":
        net.fc = nn.Sequential(tail, net.fc)
    map_ = MAPS[name](net)
    assert map_.units.stride == SIDES.get(name, 4)  # measured once, before passes are counted
    front.forwards = front.backwards = tail.forwards = tail.backwards = 0
    advcam.climb(map_, images(), [0, 2, 1], STEPS)
    steps, inputs = 4, 6
    # ACoL's second branch looks at the pixels once more, without a way back.
    assert front.forwards == steps * inputs * (2 if name == "acol" else 1)
    assert front.backwards == (steps - 1) * inputs
    assert tail.backwards == ((2 * steps - 1) * inputs if name == "tokens" else 0)


def test_names_that_are_no_layers():
    with pytest.raises(ModelError, match="no layer 'lst': did you mean one of last"):
        advcam.maps.GradCAM(Network(), "lst")
    with pytest.raises(ModelError, match="give target="):
        advcam.maps.GradCAM(nn.Sequential(nn.Conv2d(3, 4, 3)), "0")


def test_a_target_other_than_a_class():
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1)).double()
    map_ = advcam.maps.GradCAM(net, "1", target=lambda masks: masks[:, 1].mean(dim=(1, 2)))
    found = plain(map_, images(2), [0, 0])
    weight = net[2].weight[1, :, 0, 0]
    torch.testing.assert_close(found, torch.einsum("c,nchw->nhw", weight, net[:2](images(2))).relu().detach())


class TestText:
    def test_scores_are_cosines(self):
        net, text = Network().eval(), torch.randn(3, 5)
        map_ = advcam.maps.Tokens(of_tokens(net), text, layer="flat")
        x = images(2).float()
        with torch.no_grad():
            expected = 100 * nn.functional.cosine_similarity(net(x)[:, None], text[None], dim=2)
        torch.testing.assert_close(climb_pairs(map_, x, [0, 2], replace(STEPS, flip=False)).logits, expected)

    def test_text_of_another_model(self):
        with pytest.raises(ModelError, match="7 numbers per class"):
            advcam.maps.Tokens(of_tokens(Network()), torch.randn(3, 7), layer="flat")
