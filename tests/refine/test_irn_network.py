"""IRN's network, its training items, its files and what it says of an image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from advcam.data.masks import write_mask
from advcam.errors import DataError, ModelError, RunError, SettingsError
from advcam.models.architectures import build_backbone
from advcam.models.taps import TappedBackbone, tapped
from advcam.refine.irn.checkpoint import load_irn, program_names, save_irn
from advcam.refine.irn.inference import EdgeMap, edge_map
from advcam.refine.irn.network import IRNNetwork, to_grid
from advcam.refine.irn.train import IRNTask, LabelledImage, set_mean_shift, training_view
from advcam.refine.irn_settings import IRNSettings, IRNWalkSettings
from advcam.training import fit


def tiny(*strides: int) -> TappedBackbone:
    """A chain of one convolution per stride given, each a tap."""
    facts = build_backbone("timm/mobilenetv2_035")
    layers, present, channels = [], 1, 3
    for index, stride in enumerate(strides):
        layers.append(nn.Conv2d(channels, 4 + index, 3, stride // present, 1))
        present, channels = stride, 4 + index
    return tapped(replace(facts, architecture="chain", features=nn.Sequential(*layers)))


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def reference() -> IRNNetwork:
    """On the reference program's backbone."""
    return IRNNetwork(tapped(build_backbone("irn_resnet50"))).eval()


class TestNetwork:
    def test_on_the_reference_backbone(self, reference):
        network = reference
        assert parameters(network.edge) == 125_409
        assert parameters(network.displacement) == 1_269_120
        assert not any(parameter.requires_grad for parameter in network.taps.parameters())
        shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items() if "taps" not in name}
        assert shapes["edge.rows.4.conv.weight"] == (32, 2048, 1, 1)
        assert shapes["displacement.join.conv.weight"] == (256, 768, 1, 1)
        assert shapes["displacement.mix.conv.weight"] == (256, 448, 1, 1)
        assert [row.norm.num_groups for row in network.displacement.fine] == [8, 16]
        assert {row.norm.num_groups for row in network.edge.rows} == {4}

    def test_the_branches_are_their_formula(self):
        """The whole network again, from its parts, with the sizes of a 75 x 101 image."""
        taps = tiny(2, 4, 8, 16)
        network = IRNNetwork(taps).eval()
        images = torch.randn(2, 3, 75, 101)
        maps = taps(images)
        grid, coarse = (19, 26), (10, 13)

        def row(part, values):
            return part.norm(part.conv(values))

        def up(values, factor, size):
            wide = functional.interpolate(values, scale_factor=factor, mode="bilinear", align_corners=False)
            return wide[..., : size[0], : size[1]]

        def halved(values):
            return functional.avg_pool2d(values, 2, ceil_mode=True, count_include_pad=False)

        rows = network.edge.rows
        seen = [halved(row(rows[0], maps[0])), row(rows[1], maps[1])]
        seen += [up(row(rows[index], maps[index]), 2 ** (index - 1), grid) for index in (2, 3)]
        edge = network.edge.out(torch.cat([values.relu() for values in seen], 1))[:, 0]
        part = network.displacement
        deep = [row(part.coarse[0], maps[2]), up(row(part.coarse[1], maps[3]), 2, coarse)]
        joined = up(row(part.join, torch.cat([values.relu() for values in deep], 1)), 2, grid).relu()
        fine = [halved(row(part.fine[0], maps[0])).relu(), row(part.fine[1], maps[1]).relu(), joined]
        field = part.out(row(part.mix, torch.cat(fine, 1)).relu())
        output = network(images)
        torch.testing.assert_close(output.edge_logits, edge)
        torch.testing.assert_close(output.displacements, field)
        assert output.edge_logits.shape == (2, *grid)

    def test_the_mean_shift_counts_in_evaluation_only(self):
        network = IRNNetwork(tiny(4, 8))
        images = torch.randn(1, 3, 32, 32)
        raw = network.train()(images).displacements
        network.mean_shift.copy_(torch.tensor([1.0, -2.0]))
        torch.testing.assert_close(network.train()(images).displacements, raw)
        shifted = network.eval()(images).displacements
        torch.testing.assert_close(raw - shifted, torch.tensor([1.0, -2.0])[:, None, None].expand_as(raw[0])[None])

    def test_the_backbone_neither_learns_nor_counts(self):
        network = IRNNetwork(tapped(build_backbone("timm/resnet10t"))).train()
        before = {name: tensor.clone() for name, tensor in network.taps.state_dict().items()}
        output = network(torch.randn(2, 3, 64, 64))
        (output.edge_logits.sum() + output.displacements.sum()).backward()
        assert all(torch.equal(tensor, before[name]) for name, tensor in network.taps.state_dict().items())
        assert all(parameter.grad is None for parameter in network.taps.parameters())
        assert all(parameter.grad is not None for parameter in network.edge.parameters())

    @pytest.mark.parametrize("name", ["mobilenet_v2", "timm/convnext_atto", "squeezenet1_1"])
    def test_other_backbones(self, name):
        network = IRNNetwork(tapped(build_backbone(name))).eval()
        output = network(torch.randn(1, 3, 70, 101))
        assert output.edge_logits.shape == (1, 18, 26)
        assert output.displacements.shape == (1, 2, 18, 26)

    def test_without_a_fine_map(self):
        with pytest.raises(ModelError, match="chain has feature maps at 8, 16 pixels per cell"):
            IRNNetwork(tiny(8, 16))

    def test_maps_that_do_not_reach_are_stretched(self):
        assert to_grid(torch.ones(1, 1, 5, 6), 2, (11, 12)).shape == (1, 1, 11, 12)


class TestFiles:
    def test_saved_and_loaded(self, tmp_path: Path):
        network = IRNNetwork(tapped(build_backbone("timm/mobilenetv2_035", 16))).eval()
        network.mean_shift.copy_(torch.tensor([0.5, 0.25]))
        network.taps.mean = (0.1, 0.2, 0.3)
        save_irn(tmp_path / "irn", network)
        again = load_irn(tmp_path / "irn")
        images = torch.randn(1, 3, 40, 56)
        for found, wanted in zip(again(images), network(images), strict=True):
            assert torch.equal(found, wanted)
        assert again.taps.mean == (0.1, 0.2, 0.3)

    def test_the_program_s_file(self, reference, tmp_path: Path):
        network = reference
        network.mean_shift.copy_(torch.tensor([0.5, 0.25]))
        names = program_names(network)
        assert names["taps.features.layer1.0.conv1.weight"] == "resnet50.layer1.0.conv1.weight"
        assert names["displacement.out.weight"] == "fc_dp7.3.weight"
        assert names["mean_shift"] == "fc_dp7.4.running_mean"
        theirs = {names[ours]: tensor for ours, tensor in network.state_dict().items()}
        torch.save(theirs | {"path_indices0": torch.zeros(1)}, tmp_path / "res50_irn.pth")
        loaded = load_irn(tmp_path / "res50_irn.pth").state_dict()
        assert all(torch.equal(loaded[ours], tensor) for ours, tensor in network.state_dict().items())

    def test_unfit_files_are_named(self, tmp_path: Path):
        with pytest.raises(ModelError, match=r"config.json is not there: name a folder that holds a trained IRN"):
            load_irn(tmp_path)
        torch.save({"fc_edge1.0.weight": torch.zeros(32, 64, 1, 1)}, tmp_path / "half.pth")
        with pytest.raises(ModelError, match=r"half.pth does not hold an IRN on .*, it lacks "):
            load_irn(tmp_path / "half.pth")


class TestItems:
    SETTINGS = IRNSettings(crop=32, scale=(1.0, 1.0))

    def test_image_and_labels_stay_together(self):
        """A label that follows the colour, whatever the resizing, mirror and crop."""
        image = np.zeros((60, 90, 3), np.uint8)
        image[:, 45:] = 255
        labels = np.where(image[..., 0] > 0, 7, 0).astype(np.uint8)
        settings = IRNSettings(crop=64)
        for seed in range(12):
            view, reduced = training_view(image, labels, (0.5,) * 3, (0.5,) * 3, settings, np.random.default_rng(seed))
            seen = view[0, 2::4, 2::4]
            known = reduced != 255
            agree = ((seen > 0) == (reduced == 7))[known].float().mean()
            assert agree > 0.93
            assert (seen[~known] == 0).all()

    def test_what_is_asked_of_the_generator(self):
        image = np.arange(40 * 48 * 3, dtype=np.uint32).reshape(40, 48, 3).astype(np.uint8)
        labels = np.arange(40 * 48).reshape(40, 48).astype(np.uint8)
        asked = np.random.default_rng(3)
        view, reduced = training_view(image, labels, (0.0,) * 3, (1.0,) * 3, self.SETTINGS, np.random.default_rng(3))
        asked.uniform(1.0, 1.0)
        mirrored = asked.random() < 0.5
        row, column = int(asked.integers(9)), int(asked.integers(17))
        if mirrored:
            image, labels = image[:, ::-1], labels[:, ::-1]
        wanted = image[row : row + 32, column : column + 32].transpose(2, 0, 1) / 255
        np.testing.assert_allclose(view.numpy(), wanted, rtol=1e-6)
        assert np.array_equal(reduced.numpy(), labels[row : row + 32, column : column + 32][2::4, 2::4])

    @pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1)])
    def test_narrow_images(self, shape):
        image, labels = np.zeros((*shape, 3), np.uint8), np.ones(shape, np.uint8)
        view, reduced = training_view(
            image, labels, (0.5,) * 3, (0.5,) * 3, IRNSettings(crop=64), np.random.default_rng(0)
        )
        assert view.shape == (3, 64, 64)
        assert set(reduced.unique().tolist()) <= {1, 255}

    def test_unfit_labels_are_named(self, tmp_path: Path):
        Image.fromarray(np.zeros((8, 12, 3), np.uint8)).save(tmp_path / "a.png")
        write_mask(tmp_path / "b.png", np.zeros((4, 12), np.uint8))
        with pytest.raises(DataError, match=r"b.png is 12 x 4 pixels, but its image 12 x 8"):
            LabelledImage(tmp_path / "a.png", tmp_path / "b.png", 640).read()
        (tmp_path / "c.png").write_bytes(b"no picture")
        with pytest.raises(DataError, match=r"c.png is not a whole label map"):
            LabelledImage(tmp_path / "a.png", tmp_path / "c.png", 640).read()


class TestTraining:
    @pytest.fixture
    def images(self, tmp_path: Path) -> list[LabelledImage]:
        """Four pictures, dark on the left and bright on the right, labelled so, with a strip that is unsure."""
        found = []
        for index in range(4):
            image = np.zeros((64, 64, 3), np.uint8)
            image[:, 24 + 4 * index :] = 200
            labels = np.where(image[..., 0] > 0, 3, 0).astype(np.uint8)
            labels[:, 20 + 4 * index : 28 + 4 * index] = 255
            Image.fromarray(image).save(tmp_path / f"{index}.png")
            write_mask(tmp_path / f"{index}_labels.png", labels)
            found.append(LabelledImage(tmp_path / f"{index}.png", tmp_path / f"{index}_labels.png", 640))
        return found

    def test_it_learns(self, images, tmp_path: Path):
        settings = IRNSettings(
            epochs=8, batch_size=4, optimizer="adam", lr=0.02, displacement_lr_factor=1, crop=32, radius=3, workers=0
        )
        network = IRNNetwork(tiny(4, 8))
        before = network.taps.features[0].weight.clone()
        result = fit(IRNTask(network, images, settings), tmp_path / "run", origin={}, device="cpu")
        assert result.updates == 8
        for name in ("loss", "displacement_foreground"):
            assert np.mean(result.losses[name][-2:]) < 0.9 * result.losses[name][0]
        assert result.losses["loss"][0] == pytest.approx(
            sum(result.losses[name][0] for name in result.losses if name != "loss") / 2
        )
        assert torch.equal(network.taps.features[0].weight, before)

    def test_rates_of_the_program(self, images):
        task = IRNTask(IRNNetwork(tiny(4, 8)), images, IRNSettings())
        edge, displacement = task.parameter_groups()
        assert "lr" not in edge
        assert len(edge["params"]) + len(displacement["params"]) == len(
            [parameter for parameter in task.network.parameters() if parameter.requires_grad]
        )
        assert displacement["lr"] == pytest.approx(1.0)
        assert (task.settings.lr, task.settings.momentum, task.settings.weight_decay) == (0.1, 1e-4, 1e-4)
        assert [round(task.lr_factor(step, 990), 4) for step in (0, 495)] == [1.0, round(0.5**0.9, 4)]

    def test_mean_displacement(self):
        network = IRNNetwork(tiny(4, 8)).eval()
        pictures = [np.full((20 + index, 30, 3), 40 * index, np.uint8) for index in range(5)]
        network.mean_shift.fill_(7.0)
        found = set_mean_shift(network, pictures, 32, 2, torch.device("cpu"))
        network.mean_shift.zero_()
        fields = []
        for picture in pictures:
            view = torch.zeros(1, 3, 32, 32)
            height = picture.shape[0]
            view[..., :height, :30] = float((picture[0, 0, 0] / 255 - network.taps.mean[0]) / network.taps.std[0])
            for channel in range(3):
                view[0, channel, :height, :30] = float(
                    (picture[0, 0, channel] / 255 - network.taps.mean[channel]) / network.taps.std[channel]
                )
            fields.append(network(view).displacements.mean(dim=(0, 2, 3)))
        set_mean_shift(network, pictures, 32, 2, torch.device("cpu"))
        torch.testing.assert_close(found, torch.stack(fields).mean(dim=0), rtol=1e-4, atol=1e-6)


class TestInference:
    def test_the_mirror_image_counts_half(self):
        network = IRNNetwork(tiny(4, 8)).eval()
        image = np.random.default_rng(0).integers(0, 256, (30, 45, 3), dtype=np.uint8)
        straight = edge_map(network, image, pad=64)
        mirrored = edge_map(network, np.ascontiguousarray(image[:, ::-1]), pad=64)
        assert straight.edge.shape == (8, 12)
        np.testing.assert_array_equal(straight.edge, mirrored.edge[:, ::-1])
        # Displacements are of the image alone.
        assert not np.array_equal(straight.displacement[0], mirrored.displacement[0, :, ::-1])

    @pytest.mark.parametrize("shape", [(1, 9), (9, 1), (1, 1), (3, 70)])
    def test_narrow_images(self, shape):
        network = IRNNetwork(tiny(4, 8)).eval()
        for pad in (0, 32):
            found = edge_map(network, np.zeros((*shape, 3), np.uint8), pad=pad)
            assert found.edge.shape == tuple((side - 1) // 4 + 1 for side in shape)
            assert np.isfinite(found.displacement).all()

    def test_kept_whole_or_refused(self, tmp_path: Path):
        found = EdgeMap(np.full((2, 3), 0.5, np.float16), np.ones((2, 2, 3), np.float16))
        found.save(tmp_path / "a.npz")
        again = EdgeMap.load(tmp_path / "a.npz")
        assert np.array_equal(again.edge, found.edge)
        assert np.array_equal(again.displacement, found.displacement)
        (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:100])
        with pytest.raises(RunError, match=r"a.npz is not a whole edge map"):
            EdgeMap.load(tmp_path / "a.npz")
        with pytest.raises(RunError, match=r"b.npz does not exist"):
            EdgeMap.load(tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (IRNSettings, {"crop": 30}, "irn.crop is 30"),
        (IRNSettings, {"scale": (2.0, 1.0)}, "irn.scale is"),
        (IRNSettings, {"radius": 1}, "irn.radius is 1"),
        (IRNSettings, {"displacement_lr_factor": 0.0}, "irn.displacement_lr_factor is 0.0"),
        (IRNWalkSettings, {"background": 1.5}, "irn_walk.background is 1.5"),
        (IRNWalkSettings, {"radius": 1}, "irn_walk.radius is 1"),
        (IRNWalkSettings, {"power": 0.0}, "irn_walk.power is 0.0"),
        (IRNWalkSettings, {"pad": -1}, "irn_walk.pad is -1"),
    ],
)
def test_unfit_settings_are_named(kind, wrong, message):
    with pytest.raises(SettingsError, match=message):
        kind(**wrong)
