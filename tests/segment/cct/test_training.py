"""CCT's loss and training: what learns from what, the same numbers after a stop, in less memory, on two processes."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from advcam.errors import SettingsError
from advcam.segment.cct.augment import augment
from advcam.segment.cct.auxiliary import PERTURBATIONS, AuxiliaryDecoder, Prediction
from advcam.segment.cct.data import semi_supervised
from advcam.segment.cct.decoder import Decoder
from advcam.segment.cct.network import CCTNetwork, CCTTraining
from advcam.segment.cct.objective import Batch, Weights, objective, weights_at
from advcam.segment.cct.settings import CCTSettings
from advcam.segment.cct.task import CCTTask, start_cct
from advcam.segment.data import check_masks
from advcam.segment.validation import Validation
from advcam.training import FitEvent, fit

WEIGHTS = Weights(consistency=30.0, weak=0.4, threshold=0.5)


def make_task(images, settings: CCTSettings, labelled: int = 3, weak: bool = True) -> CCTTask:
    torch.manual_seed(3)
    segmenter, _ = start_cct(settings, images.class_names)
    data = semi_supervised(check_masks(images), images, labelled, images if weak else None)
    return CCTTask(segmenter, data, settings, Validation(images, samples=1))


def conv_network(settings: CCTSettings) -> CCTTraining:
    torch.manual_seed(0)
    network = CCTNetwork(torch.nn.Conv2d(3, 8, 3, 4, padding=1), 8, stride=4, width=6, num_labels=3)
    return CCTTraining(network, settings)


def a_batch(pseudo_masks: bool = True) -> Batch:
    generator = torch.Generator().manual_seed(1)
    masks = torch.randint(0, 3, (2, 16, 16), generator=generator)
    images, others = (torch.randn(2, 3, 16, 16, generator=generator) for _ in range(2))
    return Batch(images, masks, others, masks.flip(0) if pseudo_masks else None)


def gradients(network: CCTTraining, loss: Tensor) -> dict[str, Tensor]:
    names, parameters = zip(*network.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
    return {name: value for name, value in zip(names, found, strict=True) if value is not None}


class TestObjective:
    def test_is_the_weighted_sum(self, tiny_settings):
        torch.manual_seed(0)
        parts = objective(conv_network(tiny_settings), a_batch(), WEIGHTS, tiny_settings)
        total = parts["supervised"] + 30 * parts["consistency"] + 0.4 * parts["weak"]
        torch.testing.assert_close(parts["loss"], total)
        assert parts["consistency"] > 0

    def test_main_decoder_learns_from_masks_alone(self, tiny_settings):
        network = conv_network(tiny_settings)
        parts = objective(network, a_batch(), WEIGHTS, tiny_settings)
        for part in ("consistency", "weak"):
            found = gradients(network, parts[part])
            assert not any(name.startswith("main.decoder") for name in found)
            assert {name.split(".")[1] for name in found if name.startswith("auxiliary")} == set("0123456")
            assert any(name.startswith("main.encoder.base") for name in found)
        assert not any(name.startswith("auxiliary") for name in gradients(network, parts["supervised"]))

    def test_without_pseudo_masks(self, tiny_settings):
        assert objective(conv_network(tiny_settings), a_batch(False), WEIGHTS, tiny_settings)["weak"] == 0

    def test_saving_memory_changes_no_number(self, tiny_settings):
        found = []
        for save_memory in (False, True):
            settings = replace(tiny_settings, save_memory=save_memory, vat=2)
            network = conv_network(settings)
            torch.manual_seed(7)
            loss = objective(network, a_batch(), WEIGHTS, settings)["loss"]
            found.append(gradients(network, loss) | {"loss": loss})
        assert found[0].keys() == found[1].keys()
        assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])

    @pytest.mark.parametrize("supervised", ["ce", "abce", "focal"])
    @pytest.mark.parametrize("distance", ["mse", "kl", "js"])
    def test_options_are_finite(self, tiny_settings, supervised, distance):
        settings = replace(
            tiny_settings, supervised=supervised, distance=distance, pairwise_weight=1.0, confidence=0.34
        )
        network = conv_network(settings)
        parts = objective(network, a_batch(), WEIGHTS, settings)
        assert parts["pairwise"] > 0
        assert all(value.isfinite().all() for value in gradients(network, parts["loss"]).values())

    def test_weights_of_a_training_in_updates(self, tiny_settings):
        settings = replace(tiny_settings, updates=100)
        assert [round(weights_at(t, 100, 21, settings).consistency, 2) for t in (0, 5, 10, 99)] == [0.2, 8.6, 30, 30]


class TestPerturbed:
    @pytest.mark.parametrize("kind", PERTURBATIONS)
    def test_is_another_each_time_or_fixed_by_the_prediction(self, kind, tiny_settings):
        decoder = AuxiliaryDecoder(PERTURBATIONS[kind], Decoder(6, 3, 4), tiny_settings)
        features = torch.rand(2, 6, 16, 16)
        labels = torch.zeros(2, 64, 64, dtype=torch.int64)
        # A saw of more than fifty corners in the first image, nothing in the second.
        labels[0, 20:40, 4:60] = 1
        labels[0, 18:20, 4:60:3] = 1
        prediction = Prediction(labels, (16, 16))
        first, second = (decoder.perturbed(features, prediction) for _ in range(2))
        assert first.shape == features.shape
        assert not torch.equal(first[0], features[0])
        assert torch.equal(first, second) == (kind in ("context_mask", "object_mask"))
        if kind == "cut_out":
            assert torch.equal(first[1], features[1])
            assert set((first[0] == features[0]).all(dim=0).unique().tolist()) == {False, True}
        if kind == "vat":
            torch.testing.assert_close(
                (first - features).flatten(1).norm(dim=1), torch.full((2,), 2.0), rtol=1e-2, atol=0
            )


class TestItems:
    def test_images_with_masks_come_equally_often(self, tiny_images, tiny_settings):
        task = make_task(tiny_images, tiny_settings)
        seen = [task.labelled_at(place) for place in range(12)]
        assert all(sorted(seen[start : start + 3]) == [0, 1, 2] for start in range(0, 12, 3))
        assert seen[:3] + seen[3:6] != [0, 1, 2] * 2

    def test_views_repeat_within_an_epoch_when_asked(self, tiny_images, tiny_settings):
        for repeat in (False, True):
            task = make_task(tiny_images, replace(tiny_settings, repeat_views=repeat))
            which = [task.labelled_at(place) for place in range(len(task))]
            again = [place for place, image in enumerate(which) if image == which[0]][:2]
            one, two = (task.item(0, index)["image"] for index in again)
            assert torch.equal(one, two) == repeat

    def test_without_weak_masks_every_pixel_is_ignored(self, tiny_images, tiny_settings):
        item = make_task(tiny_images, replace(tiny_settings, weak=False), weak=False).item(0, 0)
        assert item["pseudo_mask"].unique().tolist() == [255]
        assert 255 not in item["mask"][:8, :8]

    def test_view_by_hand(self):
        settings = CCTSettings(long_side=(8, 8), crop=8, flip=False)
        image = np.arange(4 * 8 * 3, dtype=np.uint8).reshape(4, 8, 3)
        mask = np.arange(32, dtype=np.uint8).reshape(4, 8)
        view, labels = augment(image, mask, (0.5,) * 3, (0.25,) * 3, settings, np.random.default_rng(0))
        np.testing.assert_allclose(view[:, :4].permute(1, 2, 0), (image / 255 - 0.5) / 0.25, atol=1e-6)
        assert (view[:, 4:] == 0).all()
        assert (labels[:4].numpy() == mask).all()
        assert (labels[4:] == 255).all()

    def test_long_side_and_mirror(self):
        settings = CCTSettings(long_side=(16, 16), crop=16)
        mask = np.zeros((4, 8), np.uint8)
        mask[:, 4:] = 1
        image = np.repeat(mask[..., None] * 255, 3, axis=2)
        found = [
            augment(image, mask, (0.0,) * 3, (1.0,) * 3, settings, np.random.default_rng(seed))[1][0].tolist()
            for seed in range(8)
        ]
        assert sorted({tuple(row) for row in found}) == [(0,) * 8 + (1,) * 8, (1,) * 8 + (0,) * 8]


class TestTraining:
    def test_a_stopped_one_ends_like_an_undisturbed_one(self, tiny_images, tiny_settings, tmp_path):
        def stop(event: FitEvent) -> None:
            if event.update == 2:
                os.kill(os.getpid(), signal.SIGINT)

        tasks = [make_task(tiny_images, tiny_settings) for _ in range(2)]
        result = fit(tasks[0], tmp_path / "whole", origin={}, device="cpu")
        assert set(result.losses) == {"loss", "supervised", "consistency", "weak"}
        assert result.validations[-1]["mIoU"] > 0
        with pytest.raises(KeyboardInterrupt):
            fit(tasks[1], tmp_path / "stopped", origin={}, device="cpu", on_event=stop)
        again = make_task(tiny_images, tiny_settings)
        fit(again, tmp_path / "stopped", origin={}, device="cpu")
        whole, stopped = tasks[0].network.state_dict(), again.network.state_dict()
        assert all(torch.equal(whole[name], stopped[name]) for name in whole)

    def test_learns(self, tiny_images, tiny_settings, tmp_path):
        settings = replace(
            tiny_settings,
            updates=25,
            batch_size=3,
            optimizer="adamw",
            backbone_lr_factor=1.0,
            output_stride=8,
            psp_channels=64,
            consistency_weight=1.0,
        )
        task = make_task(tiny_images, settings)
        result = fit(task, tmp_path, origin={}, device="cpu")
        assert np.mean(result.losses["supervised"][-5:]) < 0.7 * np.mean(result.losses["supervised"][:5])

    def test_two_groups(self, tiny_images, tiny_settings):
        task = make_task(tiny_images, tiny_settings)
        backbone, rest = task.parameter_groups()
        assert backbone["lr"] == pytest.approx(0.001)
        assert "lr" not in rest
        count = len(backbone["params"]) + len(rest["params"])
        assert count == len(list(task.network.parameters()))

    @pytest.mark.parametrize(("accumulate", "devices"), [(2, 1), (1, 2)])
    def test_one_image_per_pass_is_refused(self, tiny_images, tiny_settings, tmp_path, accumulate, devices):
        task = make_task(tiny_images, replace(tiny_settings, accumulate=accumulate))
        with pytest.raises(SettingsError, match=r"cct\.batch_size is 2, but .* leave 1 to a pass, and .* needs 2"):
            fit(task, tmp_path, origin={}, device="cpu", devices=devices)
