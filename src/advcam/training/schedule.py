"""Learning rates over a training, and the optimizers they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from advcam.training.settings import FitSettings


def lr_factor(step: int, total_steps: int, power: float = 0.9, warmup_steps: int = 0) -> float:
    """The learning rate of an update, as a multiple of the first one: ``(1 - s / S) ** power``.

    Args:
        step: updates made before this one, ``s``, from 0 to ``total_steps - 1``.
        total_steps: updates of the whole training, ``S``.
        power: exponent of the decay; 0.9 in IRN's program, PSA and SEAM.
        warmup_steps: over the first so many updates the factor is also multiplied by ``(s + 1) / warmup_steps``.

    >>> [round(lr_factor(step, 4), 3) for step in range(4)]
    [1.0, 0.772, 0.536, 0.287]
    """
    decay = (1 - step / total_steps) ** power
    return decay * min(1.0, (step + 1) / warmup_steps) if warmup_steps else decay


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Bring every group's learning rate to ``factor`` times its ``base_lr``."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def build_optimizer(groups: Sequence[dict[str, Any]], settings: FitSettings) -> torch.optim.Optimizer:
    """The optimizer over parameter groups; each also carries its undecayed rate as ``base_lr``.

    >>> layer = torch.nn.Linear(2, 2)
    >>> groups = [{"params": [layer.weight]}, {"params": [layer.bias], "lr": 0.2, "weight_decay": 0.0}]
    >>> optimizer = build_optimizer(groups, FitSettings(lr=0.1))
    >>> [(group["base_lr"], group["weight_decay"], group["momentum"]) for group in optimizer.param_groups]
    [(0.1, 0.0001, 0.9), (0.2, 0.0, 0.9)]
    """
    groups = [
        {**group, "lr": group.get("lr", settings.lr), "base_lr": group.get("lr", settings.lr)} for group in groups
    ]
    if settings.optimizer == "sgd":
        momentum = settings.weight_decay if settings.momentum is None else settings.momentum
        return torch.optim.SGD(groups, momentum=momentum, weight_decay=settings.weight_decay)
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, weight_decay=settings.weight_decay)
