"""AffinityNet: its head against the reference's numbers, its backbones, its labels, its training and its masks."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from advcam.errors import DataError, ModelError, RunError, SettingsError
from advcam.models.architectures import TABLE, build_backbone
from advcam.models.backbone import Backbone
from advcam.models.resnet38 import ResNet38
from advcam.refine import CRFSettings, dense_crf, psa
from advcam.refine.pairs import pair_labels
from advcam.refine.psa import AffinityLabels, AffinityNet, PSASettings
from advcam.refine.psa.checkpoint import load_affinity_net, save_affinity_net
from advcam.refine.psa.inference import image_affinities, psa_scores
from advcam.refine.psa.labels import affinity_labels, label_scores
from advcam.refine.psa.training import AffinityExample, AffinityTask, augment
from advcam.refine.psa_settings import alpha_at
from advcam.training import fit


def resnet38(width: int) -> Backbone:
    """ResNet-38 without what measuring it would cost."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return Backbone("resnet38", ResNet38(width), "", "fc8", mean, std, (448, 448), 64 * width, 8)


@pytest.fixture
def narrow() -> AffinityNet:
    """AffinityNet on a ResNet-38 two channels wide."""
    return AffinityNet(resnet38(2)).eval()


class Stub(nn.Module):
    """Maps that are given."""

    def __init__(self, maps: list[Tensor]) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.maps


class TestNetwork:
    def test_the_head_is_the_references(self, golden, narrow):
        case = golden("psa/affinity_walk")
        narrow.taps = Stub([torch.from_numpy(case[name])[None] for name in ("conv4", "conv5", "conv6")])
        for name in ("f8_3", "f8_4", "f8_5", "f9"):
            weight = torch.from_numpy(case[f"w_{name}"])
            layer = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=False)
            layer.weight = nn.Parameter(weight[:, :, None, None])
            setattr(narrow, name, layer)
        features = narrow(torch.zeros(1, 3, 128, 160, dtype=torch.float64))[0]
        torch.testing.assert_close(features, torch.from_numpy(case["feature"]), rtol=0, atol=1e-12)

    def test_layers_on_the_papers_backbone(self):
        with torch.device("meta"):
            network = AffinityNet(resnet38(64))
        shapes = {name: tuple(network.get_submodule(name).weight.shape) for name in ("f8_3", "f8_4", "f8_5", "f9")}
        assert shapes == {
            "f8_3": (64, 512, 1, 1),
            "f8_4": (128, 1024, 1, 1),
            "f8_5": (256, 4096, 1, 1),
            "f9": (448, 448, 1, 1),
        }
        assert sum(parameter.numel() for parameter in network.new_parameters()) == 1_413_120
        assert network(torch.zeros(2, 3, 448, 448, device="meta")).shape == (2, 448, 56, 56)
        names = set(network.published_state_dict())
        assert {"conv1a.weight", "b4_5.bn_branch2b1.running_var", "bn7.bias", "f8_3.weight", "f9.weight"} <= names

    @pytest.mark.parametrize(("height", "width"), [(64, 96), (72, 40), (8, 8)])
    @pytest.mark.parametrize("stride", [16, 32])
    def test_any_backbone_with_three_maps(self, height, width, stride):
        network = AffinityNet(build_backbone("torchvision/mobilenet_v2", stride)).eval()
        assert network(torch.zeros(1, 3, height, width)).shape == (1, 448, height // 8, width // 8)
        names = dict(network.named_parameters())
        assert len(names) == len({id(parameter) for parameter in names.values()})

    def test_a_backbone_with_two_maps_is_refused(self):
        features = nn.Sequential(nn.Conv2d(3, 4, 3, 2, padding=1), nn.Conv2d(4, 4, 3, 2, padding=1))
        backbone = Backbone("two", features, "", None, (0.5,) * 3, (0.5,) * 3, (32, 32), 4, 4)
        with pytest.raises(ModelError, match="two has 2 feature maps to look at, and three are needed"):
            AffinityNet(backbone)

    def test_saved_and_published_files_give_it_back(self, narrow, tmp_path, monkeypatch):
        monkeypatch.setattr("advcam.models.resnet38.ResNet38", lambda: ResNet38(2))
        monkeypatch.setitem(TABLE, "resnet38", TABLE["resnet38"]._replace(build=lambda name, stride: resnet38(2)))
        images = torch.randn(1, 3, 40, 56)
        save_affinity_net(tmp_path / "net", narrow)
        assert torch.equal(load_affinity_net(tmp_path / "net")(images), narrow(images))
        tensors = {f"module.{name}": tensor for name, tensor in narrow.published_state_dict().items()}
        torch.save(tensors, tmp_path / "res38_aff.pth")
        assert torch.equal(load_affinity_net(tmp_path / "res38_aff.pth")(images), narrow(images))
        tensors.pop("module.f9.weight")
        torch.save(tensors, tmp_path / "res38_aff.pth")
        with pytest.raises(ModelError, match=r"1 of \d+ tensors are missing, such as 'f9.weight'"):
            load_affinity_net(tmp_path / "res38_aff.pth")
        description = tmp_path / "net" / "config.json"
        description.write_text(description.read_text().replace("affinity net", "another net"))
        with pytest.raises(ModelError, match="does not describe an AffinityNet"):
            load_affinity_net(tmp_path / "net")
        (tmp_path / "net" / "config.json").write_text('{"schema": 9, "kind": "affinity net"}')
        with pytest.raises(ModelError, match="has schema 9, this version reads up to 1"):
            load_affinity_net(tmp_path / "net")


class TestLabels:
    def test_scores_are_the_soft_crf_of_the_maps(self):
        image = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        maps = torch.rand(2, 12, 16)
        crf = replace(CRFSettings.psa(), iterations=2)
        energies = -torch.cat([(1 - maps.amax(dim=0, keepdim=True)) ** 4, maps]).clamp(1e-5, 1).log()
        expected = dense_crf(torch.from_numpy(image), energies, crf)
        torch.testing.assert_close(label_scores(image, maps, 4, crf), expected)
        assert (label_scores(image, maps[:0], 4, crf) == 1).all()

    def test_labels_cell_by_cell(self):
        generator = torch.Generator().manual_seed(0)
        low, high = torch.rand(3, 9, 12, generator=generator), torch.rand(3, 9, 12, generator=generator)
        low[:, :, 10:], high[:, :, 10:] = 0, 0
        found = affinity_labels(low, high)
        for y in range(9):
            for x in range(12):
                expected = int(low[:, y, x].argmax())
                expected = 255 if expected == 0 else expected
                if int(high[:, y, x].argmax()) == 0:
                    expected = 0
                if max(low[:, y, x].max(), high[:, y, x].max()) < 1e-5:
                    expected = 255
                assert found[y, x] == expected

    def test_a_zero_map_leaves_background(self):
        labels = AffinityLabels.make(
            np.zeros((16, 16, 3), np.uint8), torch.zeros(1, 16, 16), np.array([3]), (4, 32), CRFSettings.psa()
        )
        _, cells = augment(
            np.zeros((16, 16, 3), np.uint8), labels, (0.5,) * 3, (0.5,) * 3, SETTINGS, np.random.default_rng(0)
        )
        assert set(cells.unique().tolist()) <= {0, 255}

    def test_files(self, tmp_path):
        half = np.random.default_rng(0).random((2, 5, 7)).astype(np.float16)
        AffinityLabels(np.array([3, 7]), half, half[::-1]).save(tmp_path / "a.npz")
        again = AffinityLabels.load(tmp_path / "a.npz")
        assert np.array_equal(again.low, half)
        assert np.array_equal(again.high, half[::-1])
        assert again.classes.tolist() == [3, 7]
        (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:50])
        with pytest.raises(RunError, match="not a whole file of affinity labels"):
            AffinityLabels.load(tmp_path / "a.npz")
        with pytest.raises(RunError, match="does not exist"):
            AffinityLabels.load(tmp_path / "b.npz")


SETTINGS = PSASettings(batch_size=2, crop=72, jitter=(0.0, 0.0, 0.0, 0.0), workers=0)


def two_halves(height: int, width: int) -> tuple[np.ndarray, AffinityLabels]:
    """A picture whose left half is red and of class 5, and whose right half is blue and background."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2, 0], image[:, width // 2 :, 2] = 200, 200
    scores = np.zeros((1, height, width), np.float16)
    scores[:, :, : width // 2] = 1
    return image, AffinityLabels(np.array([5]), scores, scores)


class TestAugmentation:
    def test_image_and_labels_stay_together(self):
        image, labels = two_halves(104, 136)
        mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
        mirrored = set()
        for seed in range(12):
            view, cells = augment(image, labels, mean, std, SETTINGS, np.random.default_rng(seed))
            red = functional.avg_pool2d((view[:1] > 0.5).float()[None], 8)[0, 0]
            sure = (red == 0) | (red == 1)
            assert torch.equal(cells[sure], red[sure].long())
            mirrored.add(bool(red[0, 0] < red[0, -1]))
        assert mirrored == {True, False}

    def test_a_small_image_lies_in_black_without_labels(self):
        image, labels = np.full((40, 24, 3), 255, np.uint8), two_halves(40, 24)[1]
        mean, std = (0.4, 0.5, 0.6), (0.5, 0.5, 0.5)
        for seed in range(4):
            view, cells = augment(image, labels, mean, std, SETTINGS, np.random.default_rng(seed))
            inside = view[0] == (1 - 0.4) / 0.5
            assert inside.sum() == 40 * 24
            black = torch.tensor([(0 - m) / 0.5 for m in mean])
            assert torch.allclose(view[:, ~inside].T, black)
            outside = functional.max_pool2d(inside[None].float(), 8)[0] == 0
            assert (cells[outside] == 255).all()
            assert not (cells[~outside] == 255).any()


class TestTraining:
    @pytest.fixture
    def examples(self, tmp_path: Path) -> list[AffinityExample]:
        found = []
        for index in range(4):
            image, labels = two_halves(80 + 8 * index, 96)
            Image.fromarray(image).save(tmp_path / f"{index}.png")
            labels.save(tmp_path / f"{index}.npz")
            found.append(AffinityExample(tmp_path / f"{index}.png", tmp_path / f"{index}.npz"))
        return found

    def test_what_learns_and_how_fast(self, narrow, examples):
        task = AffinityTask(narrow, examples, SETTINGS)
        backbone, new = task.parameter_groups()
        assert new["lr"] == pytest.approx(1.0)
        assert [id(p) for p in new["params"]] == [id(p) for p in narrow.new_parameters()]
        learning = {id(parameter) for parameter in backbone["params"]}
        names = {name for name, parameter in narrow.backbone.named_parameters() if id(parameter) in learning}
        assert all(".conv_" in name for name in names)
        assert {name.split(".")[0] for name in names} == {
            *("b3", "b3_1", "b3_2", "b4", "b4_1", "b4_2", "b4_3", "b4_4", "b4_5", "b5", "b5_1", "b5_2", "b6", "b7")
        }
        before = narrow.backbone.bn7.running_mean.clone()
        narrow.train()
        narrow(torch.randn(2, 3, 72, 72))
        assert torch.equal(narrow.backbone.bn7.running_mean, before)
        with pytest.raises(SettingsError, match=r"psa\.freeze is 'layer1', .* use stem, null or one of conv1a, b2"):
            AffinityTask(narrow, examples, replace(SETTINGS, freeze="layer1"))

    def test_the_default_freezes_resnet38_alone(self, narrow, examples):
        AffinityTask(narrow, examples, SETTINGS)
        assert not narrow.backbone.conv1a.weight.requires_grad
        other = AffinityNet(build_backbone("timm/test_resnet", 8))
        convolutions = [parameter for parameter in other.backbone.parameters() if parameter.ndim == 4]
        AffinityTask(other, examples, SETTINGS)
        assert all(parameter.requires_grad for parameter in convolutions)

    def test_items_depend_on_seed_epoch_and_index(self, narrow, examples):
        task = pickle.loads(
            pickle.dumps(AffinityTask(narrow, examples, replace(SETTINGS, jitter=(0.3, 0.3, 0.3, 0.1))))
        )
        first, again, other = task.item(1, 2), task.item(1, 2), task.item(2, 2)
        assert torch.equal(first[0], again[0])
        assert torch.equal(first[1], again[1])
        assert not torch.equal(first[0], other[0])

    def test_the_loss_is_the_references(self, narrow, examples):
        task = AffinityTask(narrow, examples, SETTINGS)
        batch = task.collate([task.item(0, index) for index in range(2)])
        found = task.loss(batch, 0, 1)["loss"]
        expected = psa.affinity_loss(psa.pair_affinities(narrow(batch[0])), pair_labels(batch[1], 5))
        assert found.item() == pytest.approx(expected.item(), rel=1e-6)

    def test_it_learns_which_cells_are_alike(self, examples, tmp_path):
        network = AffinityNet(build_backbone("timm/test_resnet", 8))
        settings = replace(SETTINGS, updates=25, freeze="stem", optimizer="adamw", lr=2e-3)
        task = AffinityTask(network, examples, settings)
        fit(task, tmp_path / "fit", origin={"data": "halves"}, device="cpu")
        images, labels = task.collate([task.item(99, index) for index in range(4)])
        with torch.no_grad():
            affinities, pairs = psa.pair_affinities(network(images)), pair_labels(labels, 5)
        alike = affinities[pairs.foreground | pairs.background].mean()
        different = affinities[pairs.different].mean()
        assert alike > 0.6 > 0.3 > different

    def test_labels_of_another_image_are_refused(self, narrow, examples):
        Image.fromarray(np.zeros((50, 33, 3), np.uint8)).save(examples[0].image)
        with pytest.raises(DataError, match=r"33 x 50 pixels, but the labels .* were made of 96 x 80"):
            AffinityTask(narrow, examples, SETTINGS).item(0, 0)


class TestMasks:
    def test_step_by_step(self, narrow):
        image = np.random.default_rng(0).integers(0, 256, (45, 70, 3), dtype=np.uint8)
        maps = torch.rand(2, 45, 70)
        settings = PSASettings(alpha=6, beta=3, log_times=3)
        mean, std = torch.tensor(narrow.mean)[:, None, None], torch.tensor(narrow.std)[:, None, None]
        pixels = torch.zeros(1, 3, 48, 72)
        pixels[0, :, :45, :70] = (torch.from_numpy(image).permute(2, 0, 1) / 255 - mean) / std
        links = psa.affinities(narrow(pixels)[0])
        expected = psa.image_scores(psa.propagate(psa.walk_scores(maps, alpha=6), links, beta=3, log_times=3), (45, 70))
        torch.testing.assert_close(psa_scores(narrow, image, maps, settings), expected)

        crf = replace(settings, final_crf=True, crf=CRFSettings(iterations=1))
        shares = (expected / expected.sum(dim=0)).clamp(1e-5, 1)
        refined = dense_crf(torch.from_numpy(image), -shares.log(), CRFSettings(iterations=1))
        torch.testing.assert_close(psa_scores(narrow, image, maps, crf), refined, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize(("height", "width"), [(1, 40), (40, 1), (1, 1), (20, 31)])
    @pytest.mark.parametrize("all_pairs", [False, True])
    def test_images_smaller_than_the_radius(self, narrow, height, width, all_pairs):
        """One pixel wide, too: where no cell has a link as released, the walk changes nothing."""
        image, maps = np.zeros((height, width, 3), np.uint8), torch.rand(2, height, width)
        settings = PSASettings(all_pairs=all_pairs)
        scores = psa_scores(narrow, image, maps, settings)
        assert scores.shape == (3, height, width)
        assert scores.isfinite().all()
        unmoved = psa.image_scores(psa.walk_scores(maps), (height, width))
        alone = not all_pairs or max(height, width) <= 8
        assert torch.allclose(scores, unmoved) == alone

    @pytest.mark.parametrize("shape", [(2, 8, 20), (2, 20, 8), (0, 20, 20)])
    def test_maps_of_another_image_are_named(self, narrow, shape):
        with pytest.raises(
            DataError, match=r"class maps are of shape \(\d, \d+, \d+\), but an image of 20 x 20 pixels"
        ):
            psa_scores(narrow, np.zeros((20, 20, 3), np.uint8), torch.rand(shape), PSASettings())

    def test_a_zero_map_stays_zero(self, narrow):
        maps = torch.rand(2, 64, 72)
        maps[1] = 0
        scores = psa_scores(narrow, np.zeros((64, 72, 3), np.uint8), maps, PSASettings())
        assert (scores[2] == 0).all()
        assert (scores[1] > 0).any()

    def test_pairs_of_the_walk(self, narrow):
        image = np.zeros((64, 72, 3), np.uint8)
        released = image_affinities(narrow, image, PSASettings())
        assert (released[0] > 0).sum() == 4 * 1
        assert (image_affinities(narrow, image, PSASettings(all_pairs=True))[0] > 0).sum() == 8 * 8


class TestSettings:
    def test_alphas_of_a_threshold(self):
        for threshold in (0.1, 0.42, 0.7):
            assert (1 - threshold) ** alpha_at(threshold) == pytest.approx(threshold)
        chosen = PSASettings(margin=0.1).at_threshold(0.4)
        assert [0.5**chosen.alpha_low, 0.6**chosen.alpha, 0.7**chosen.alpha_high] == pytest.approx([0.5, 0.4, 0.3])
        assert PSASettings().at_threshold(0.4) == PSASettings()

    @pytest.mark.parametrize(
        ("wrong", "sentence"),
        [
            ({"crop": 100}, "psa.crop must be a multiple of 8 pixels .* at least 72, not 100"),
            ({"crop": 64}, "at least 72, not 64"),
            ({"radius": 1}, "psa.radius is 1"),
            ({"beta": 0}, "psa.beta is 0, but must be greater than 0"),
            ({"alpha_low": 40}, "psa.alpha_low is 40, above psa.alpha_high, 32"),
            ({"log_times": -1}, "psa.log_times is -1"),
            ({"margin": 0.6}, "psa.margin is 0.6"),
            ({"jitter": (0.3, 0.3, 0.3, 0.7)}, "psa.jitter is"),
            ({"architecture": None, "weights": "a.pth"}, "psa.weights is set, but without psa.architecture"),
        ],
    )
    def test_unfit_settings_are_named(self, wrong, sentence):
        with pytest.raises(SettingsError, match=sentence):
            PSASettings(**wrong)
