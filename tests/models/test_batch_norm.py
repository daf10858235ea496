"""Stored statistics, whatever the mode."""

from __future__ import annotations

import copy

import timm
import torch
from torch import nn

from advcam.models import freeze_batch_norm


def test_statistics_are_used_and_kept_in_training() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
    with torch.no_grad():
        network[1].running_mean.fill_(0.3)
        network[1].running_var.fill_(2.0)
    images = torch.randn(2, 3, 8, 8)
    expected = network[:3].eval()(images)
    assert freeze_batch_norm(network) == 1
    network.train()
    torch.testing.assert_close(network[:3](images), expected)
    assert network[3].training
    assert network[1].num_batches_tracked == 0
    assert torch.equal(network[1].running_mean, torch.full((4,), 0.3))
    network(images).sum().backward()
    assert network[1].weight.grad is not None


def test_scale_and_shift_can_be_frozen_too() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    freeze_batch_norm(network, affine_trainable=False)
    assert [p.requires_grad for p in network.parameters()] == [True, True, False, False]


def test_copies_and_subclasses_stay_frozen() -> None:
    model = timm.create_model("mobilenetv2_050")
    count = freeze_batch_norm(model)
    assert count == sum(isinstance(module, nn.BatchNorm2d) for module in model.modules()) > 20
    twin = copy.deepcopy(model).train()
    twin(torch.randn(2, 3, 64, 64))
    assert all(torch.equal(a, b) for a, b in zip(twin.buffers(), model.buffers(), strict=True))
