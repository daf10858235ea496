"""The methods' mechanics on numbers that can be checked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from wsol_networks import tiny

from advcam.classify.methods import load_method, save_method
from advcam.classify.wsol.acol import ACoL, erased, fused
from advcam.classify.wsol.adl import ADL, attend
from advcam.classify.wsol.build import method_on
from advcam.classify.wsol.cutmix import CutMix, cut_box, mix
from advcam.classify.wsol.has import HaS, hide
from advcam.classify.wsol.method import CAM, LocalizationMethod
from advcam.classify.wsol.places import fast_parameters, method_layers
from advcam.classify.wsol.settings import METHODS, WSOLSettings
from advcam.classify.wsol.spg import SPG, guided, sure
from advcam.errors import ModelError, SettingsError
from advcam.models import BackboneSettings, build_classifier
from advcam.models.ranges import min_max


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(4, 3, 16, 20), torch.tensor([0, 1, 2, 1])


def methods() -> dict[str, nn.Module]:
    settings = WSOLSettings(method="cam", layers=("0", "2"))
    found = {}
    for name in METHODS:
        own = WSOLSettings(method=name, layers=settings.layers)
        found[name] = method_on(tiny(tail=name == "acol"), own)
    return found


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_and_gives_finite_maps(name: str, batch) -> None:
    network = methods()[name]
    assert isinstance(network, LocalizationMethod)
    losses = network.loss(*batch)
    losses["loss"].backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    network.eval()
    with torch.no_grad():
        maps, logits = network.score_maps(*batch)
        alone, _ = network.score_maps(batch[0][2:3], batch[1][2:3])
    assert maps.shape == (4, 4, 5)
    assert logits.shape == (4, 3)
    torch.testing.assert_close(logits, network.classifier(batch[0]).detach())
    torch.testing.assert_close(maps[2:3], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["cam", "has", "spg", "adl", "cutmix"])
def test_tests_of_all_but_acol_are_plain_class_maps(name: str, batch) -> None:
    network = methods()[name].eval()
    images, classes = batch
    with torch.no_grad():
        maps, _ = network.score_maps(images, classes)
        expected = network.classifier.mapper().class_maps(images)
    assert torch.equal(maps, expected[torch.arange(4), classes])


def test_hide_and_seek() -> None:
    torch.manual_seed(0)
    images = torch.ones(200, 3, 10, 10)
    hidden = hide(images, grid=4, rate=0.3)
    assert torch.equal(hidden[:, 0], hidden[:, 2])
    assert torch.equal(hidden[:, :, :4, :4], hidden[:, :, :1, :1].expand(-1, -1, 4, 4))
    assert torch.equal(hidden[:, :, 8:, 8:], hidden[:, :, 9:, 9:].expand(-1, -1, 2, 2))
    assert float((hidden[:, 0, ::4, ::4] == 0).float().mean()) == pytest.approx(0.3, abs=0.04)
    assert hide(images, 4, 0.0).count_nonzero() == images.numel()
    assert HaS(tiny()).grid == 4


def test_cutmix_box_and_share() -> None:
    assert cut_box(0.0, 224, 224, 112, 112) == (0, 0, 224, 224)
    assert cut_box(1.0, 224, 224, 5, 5) == (5, 5, 5, 5)
    half = int(224 * math.sqrt(0.5)) // 2
    assert cut_box(0.5, 224, 224, 100, 120) == (120 - half, 100 - half, 120 + half, 100 + half)
    images = torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 2, 10, 10)
    mixed, kept = mix(images, torch.tensor([2, 0, 1]), (2, 0, 10, 5))
    assert kept == pytest.approx(0.6)
    assert mixed[0, 0, 0].tolist() == [0, 0] + [2] * 8
    assert mixed[0, 0, 5].tolist() == [0] * 10
    assert float(images[0].sum()) == 0


def test_cutmix_mixes_labels_by_the_share(monkeypatch, batch) -> None:
    network = CutMix(tiny(), rate=1.0).eval()
    images, labels = batch
    monkeypatch.setattr("advcam.classify.wsol.cutmix.cut_box", lambda *_: (0, 0, 20, 16))
    monkeypatch.setattr(torch, "randperm", lambda count: torch.tensor([1, 2, 3, 0]))
    whole = network.loss(images, labels)["loss"]
    expected = nn.functional.cross_entropy(network.classifier(images[[1, 2, 3, 0]]), labels[[1, 2, 3, 0]])
    torch.testing.assert_close(whole, expected)
    plain = CutMix(network.classifier, rate=0.0).loss(images, labels)["loss"]
    torch.testing.assert_close(plain, nn.functional.cross_entropy(network.classifier(images), labels))


def test_adl_acts_in_training_only(batch) -> None:
    network = ADL(tiny(), ("0",), threshold=0.9, rate=1.0)
    with torch.no_grad():
        trained = network.classifier(batch[0])
        tested = network.eval().classifier(batch[0])
        plain = tiny()(batch[0])
    assert torch.equal(tested, plain)
    assert not torch.allclose(trained, plain)


def test_attention_of_adl() -> None:
    features = torch.randn(2, 5, 4, 4)
    attention = features.mean(dim=1)
    kept = attend(features, 0.8, drop=True)
    expected = attention < 0.8 * attention.amax(dim=(1, 2), keepdim=True)
    assert torch.equal(kept[:, 0] != 0, expected)
    torch.testing.assert_close(attend(features, 0.8, drop=False), features * attention.sigmoid()[:, None])


def test_acol_erases_what_the_first_head_sees(batch) -> None:
    features, maps = torch.ones(1, 2, 1, 4), torch.tensor([[[-1.0, 0.0, 2.0, 3.0]]])
    assert erased(features, maps, 0.7)[0, 0, 0].tolist() == [1, 1, 0, 0]
    assert fused(maps, -maps).tolist() == [[[1.0, 0.75, 0.75, 1.0]]]
    assert min_max(torch.full((1, 2, 2), 4.0)).tolist() == [[[0.0, 0.0], [0.0, 0.0]]]
    network = ACoL(tiny(tail=True)).eval()
    with torch.no_grad():
        first, second, logits = network.both_maps(*batch)
        maps, _ = network.score_maps(*batch)
    torch.testing.assert_close(maps, fused(first, second))
    own = network.classifier.mapper().class_maps(batch[0])[torch.arange(4), batch[1]]
    # The bias of the class layer belongs to the benchmark's maps; min-max takes it out.
    torch.testing.assert_close(min_max(first), min_max(own.detach()))
    torch.testing.assert_close(logits, network.classifier(batch[0]).detach())
    with pytest.raises(ModelError, match="needs a network with a head of convolutions"):
        ACoL(tiny())


def test_spg_masks() -> None:
    maps = torch.linspace(0, 1, 100).reshape(1, 1, 10, 10)
    mask = sure(maps, high=0.6, low=0.2)
    assert (mask == 1).sum() == (maps > 0.6).sum() == 40
    assert torch.equal(mask == 0, maps < 0.2)
    few = sure(maps * 0.5, high=0.45, low=0.1)
    assert torch.equal(few == 1, maps * 0.5 > 0.7 * 0.5)
    logits = torch.tensor([[[[3.0, -2.0, 5.0]]]])
    target = torch.tensor([[[[1.0, 0.0, 255.0]]]])
    expected = (math.log1p(math.exp(-3)) + math.log1p(math.exp(-2))) / 2
    assert float(guided(logits, target)) == pytest.approx(expected)
    assert float(guided(logits, torch.full_like(target, 255.0))) == 0


def test_spg_trains_its_predictors_from_one_another(batch) -> None:
    network = SPG(tiny(), ("0", "2"), (8, 12))
    losses = network.loss(*batch)
    assert set(losses) == {"loss", "class", "late", "early", "final"}
    torch.testing.assert_close(losses["loss"], losses["class"] + losses["late"] + losses["early"] + losses["final"])


def test_where_methods_act_on_any_network() -> None:
    settings = BackboneSettings("torchvision/mobilenet_v2", weights=None, output_stride=16)
    classifier = build_classifier(settings, 2)
    adl, spg = method_layers(classifier, "adl"), method_layers(classifier, "spg")
    assert adl[-1] == "features.18"
    assert len(adl) == 3
    assert spg == adl[:2]
    assert method_layers(classifier, "adl", ("features.3",)) == ("features.3",)
    with pytest.raises(SettingsError, match="no module of the backbone"):
        method_layers(classifier, "adl", ("layer9",))
    with pytest.raises(SettingsError, match="must name two modules"):
        method_layers(classifier, "spg", ("features.3",))
    fast = fast_parameters(CAM(classifier))
    assert ("classifier.head.weight" in fast, "classifier.backbone.features.0.0.weight" in fast) == (True, False)


@pytest.mark.parametrize("name", ["cam", "acol"])
def test_a_trained_method_comes_back(name: str, tmp_path, batch) -> None:
    settings = BackboneSettings("timm/test_resnet" + ("+acol" if name == "acol" else ""), weights=None)
    classifier = build_classifier(settings, 3)
    network = (ACoL if name == "acol" else CAM)(classifier).eval()
    if isinstance(network, ACoL):
        network.threshold = 0.6
    save_method(tmp_path, network, name, settings, ("a", "b", "c"))
    again, names = load_method(tmp_path)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected, found = (each.score_maps(images, batch[1][:2]) for each in (network, again))
    assert names == ("a", "b", "c")
    assert torch.equal(found[0], expected[0])
    if isinstance(again, ACoL):
        assert again.threshold == 0.6


@pytest.mark.parametrize(
    "wrong",
    [
        {"has_rate": 1.5}, {"spg_thresholds": (0.1, 0.2, 0.5, 0.05, 0.7, 0.1)}, {"crop": 300}, {"decay": 0.0},
        {"decay_every": 0}, {"has_grid": -1}, {"cutmix_beta": 0.0}, {"adl_threshold": -0.1},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense(wrong) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        WSOLSettings(**wrong)
