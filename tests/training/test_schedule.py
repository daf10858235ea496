"""The learning rate's decay, and what IRN's optimizer really does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from advcam.training import FitSettings
from advcam.training.schedule import build_optimizer, lr_factor, set_learning_rate

IRN = FitSettings(lr=0.1, momentum=None)


def test_poly_decay_over_the_updates_of_the_paper() -> None:
    total = 661 * 5
    assert lr_factor(0, total) == 1.0
    assert lr_factor(1, total) == pytest.approx(1 - 0.9 / 3305, rel=1e-6)
    assert lr_factor(1652, total) == pytest.approx((1653 / 3305) ** 0.9)
    assert lr_factor(3304, total) == pytest.approx(6.804e-4, rel=1e-3)


def test_warmup_multiplies_the_decay() -> None:
    factors = [lr_factor(step, 10, power=1.0, warmup_steps=4) for step in range(6)]
    assert factors == pytest.approx([0.25, 0.45, 0.6, 0.7, 0.6, 0.5])


def test_momentum_has_the_value_of_the_weight_decay() -> None:
    layer = nn.Linear(3, 2)
    groups = [{"params": [layer.weight]}, {"params": [layer.bias], "lr": 1.0}]
    optimizer = build_optimizer(groups, FitSettings(lr=0.1, momentum=None, weight_decay=5e-4))
    assert isinstance(optimizer, torch.optim.SGD)
    for group, lr in zip(optimizer.param_groups, (0.1, 1.0), strict=True):
        assert (group["lr"], group["momentum"], group["weight_decay"]) == (lr, 5e-4, 5e-4)
        assert (group["dampening"], group["nesterov"]) == (0, False)


def test_two_updates_by_hand() -> None:
    weight = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimizer = build_optimizer([{"params": [weight]}], FitSettings(lr=0.1, weight_decay=0.01, momentum=None))
    expected, velocity = 2.0, 0.0
    for factor in (1.0, 0.5):
        weight.grad = torch.tensor([3.0], dtype=torch.float64)
        set_learning_rate(optimizer, factor)
        optimizer.step()
        velocity = 0.01 * velocity + 3.0 + 0.01 * expected
        expected -= 0.1 * factor * velocity
        assert float(weight.detach()) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam)])
def test_the_other_optimizers(name: str, kind: type) -> None:
    optimizer = build_optimizer([{"params": [nn.Parameter(torch.zeros(1))]}], FitSettings(optimizer=name, lr=1e-3))
    assert type(optimizer) is kind
    assert optimizer.param_groups[0]["weight_decay"] == 1e-4
