"""What the benchmark compares computes the same maps; how it times; what the batch size comes from."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import advcam
from advcam.attribute.inputs import normalize_bytes, to_inputs
from advcam.attribute.memory import CPU_MOST, batch_pixels, bytes_per_pixel, free_memory
from advcam.bench.authors import authors_climb
from advcam.bench.contest import Contest, Outcome, hold
from advcam.bench.timing import Seconds, in_turns
from advcam.errors import SettingsError
from advcam.models.precision import in_precision, tensor_float
from advcam.verbs.settings import BenchSettings

SMALL = Contest("timm/resnet10t", (48, 64), pairs=2, steps=1)


def test_the_authors_structure_gives_the_maps_of_the_climb():
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.BatchNorm2d(8), nn.ReLU()).double().eval()
    head = torch.randn(5, 8).double().requires_grad_()
    image, settings = torch.randn(3, 32, 48).double(), advcam.ClimbSettings(steps=6, reg_weight=0.3)
    found = authors_climb(features, head, image, 2, settings)
    wanted = advcam.climb(advcam.ClassMapper(features, head), image[None], torch.tensor([2]), settings)[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-13)
    assert head.grad is None


def test_a_contest_on_a_small_network():
    found = hold(SMALL, turns=1)
    assert min(found.authors.cpu, found.climb.cpu, found.floor.cpu) > 0
    assert found.memory == (None, None)


def test_the_whole_climb_counts_the_last_step_as_forward_only():
    ours, first = Seconds(2.0, 2.0), Seconds(1.0, 1.0)
    outcome = Outcome(Seconds(5.0, 5.0), ours, first, ours, (None, None))
    assert outcome.whole("wall", steps=27) == pytest.approx(27 * 5 / (1 + 26 * 2))


def test_turns_are_taken_in_turn_and_the_best_counts():
    order: list[str] = []
    times = in_turns({name: lambda name=name: order.append(name) or time.sleep(0.002) for name in "ab"}, turns=2)
    assert order == ["a", "b"] * 3
    assert times["a"].wall >= 0.002


class TestBatchSize:
    def map(self) -> advcam.maps.CAM:
        features = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU())
        return advcam.maps.CAM(advcam.ClassMapper(features, torch.randn(5, 8)))

    def test_what_a_backward_pass_keeps(self):
        # Per 16 pixels: 3 values of each in, of the one cell 8 that ReLU keeps and up to 7 of the class maps; 4 bytes
        # each.
        assert 4 * (3 + 8 / 16) < bytes_per_pixel(self.map()) < 4 * (3 + 15 / 16)

    def test_less_memory_smaller_batches(self):
        one, half = (batch_pixels(self.map(), free) for free in (2**22, 2**21))
        assert one == 2 * half
        assert one * 15.5 * 1.5 <= 0.6 * 2**22 < 2 * one * 15.6 * 1.5
        assert batch_pixels(self.map(), 2**50) == CPU_MOST == batch_pixels(self.map(), None)
        assert batch_pixels(self.map(), 0) == 1

    def test_free_memory_here(self):
        assert free_memory(torch.device("cpu")) is None or free_memory(torch.device("cpu")) > 2**20


class TestPrecision:
    def mapper(self) -> advcam.ClassMapper:
        torch.manual_seed(0)
        return advcam.ClassMapper(nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU()), torch.randn(5, 8))

    def test_bfloat16_stays_near_and_outside_single(self):
        net, images = self.mapper(), torch.randn(2, 3, 32, 48)
        narrow = in_precision(net, "bf16")
        assert narrow.class_maps(images).dtype == narrow.dtype == torch.float32
        exact = net.class_maps(images)
        error = (narrow.class_maps(images) - exact).abs().max() / exact.abs().max()
        assert 0 < error < 2e-2
        assert next(net.features.parameters()).dtype == torch.float32
        settings = advcam.ClimbSettings(steps=2)
        maps = advcam.climb(narrow, images, torch.tensor([0, 1]), settings)
        wanted = advcam.climb(net, images, torch.tensor([0, 1]), settings)
        assert (maps - wanted).abs().max() < 5e-2 * wanted.max()

    def test_what_a_gpu_rounds_is_as_before_afterwards(self):
        before = torch.backends.cudnn.allow_tf32
        with tensor_float("tf32"):
            assert torch.backends.cudnn.allow_tf32
        with tensor_float("32"):
            assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.allow_tf32 == before

    def test_single_precision_is_the_mapper_itself(self):
        net = self.mapper()
        assert in_precision(net, "32") is net
        with pytest.raises(SettingsError, match="precision must be one of"):
            in_precision(net, "8")


def test_normalised_on_the_device_is_equal_to_the_bit():
    mapper = advcam.ClassMapper(nn.Conv2d(3, 8, 3), torch.randn(5, 8))
    pictures = [np.random.default_rng(seed).integers(0, 256, (9, 13, 3), dtype=np.uint8) for seed in (0, 1)]
    found = normalize_bytes(torch.from_numpy(np.stack(pictures)), mapper)
    assert torch.equal(found, to_inputs(pictures, mapper))


def test_settings_that_make_no_sense():
    for change in ({"pairs": 0}, {"turns": 0}, {"size": (375, 8)}):
        with pytest.raises(SettingsError, match="bench"):
            replace(BenchSettings(), **change)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_climb_on_a_gpu_is_that_on_the_cpu():
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU()).double().eval()
    mapper, images = advcam.ClassMapper(features, torch.randn(5, 8).double()), torch.randn(2, 3, 32, 48).double()
    settings, classes = advcam.ClimbSettings(steps=9, reg_weight=0.3), torch.tensor([0, 3])
    wanted = advcam.climb(mapper, images, classes, settings)
    found = advcam.climb(mapper.cuda(), images.cuda(), classes.cuda(), settings)
    torch.testing.assert_close(found.cpu(), wanted, rtol=1e-9, atol=1e-12)
    pictures = [np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)]
    assert torch.equal(to_inputs(pictures, mapper).cpu(), to_inputs(pictures, mapper.cpu()))
    assert batch_pixels(advcam.maps.CAM(mapper.cuda()), free_memory(torch.device("cuda"))) >= 1
