"""Plain stochastic gradient descent with a polynomial decay, as the field's classifiers are trained; and AdamW."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from advcam.classify.settings import ClassifySettings


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


def build_optimizer(
    backbone: Iterable[nn.Parameter], head: Iterable[nn.Parameter], settings: ClassifySettings
) -> torch.optim.Optimizer:
    """The optimizer over two groups, backbone and head, whose learning rates keep the ratio ``head_lr_factor``.

    Every group also carries its undecayed rate as ``base_lr``. With ``momentum=None``, SGD's momentum has the value
    of the weight decay: so do the optimizers of IRN, AdvCAM, PSA and SEAM (no dampening, no Nesterov).

    >>> layers = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
    >>> optimizer = build_optimizer(*(layer.parameters() for layer in layers), ClassifySettings())
    >>> [(group["lr"], group["momentum"], group["weight_decay"]) for group in optimizer.param_groups]
    [(0.1, 0.0001, 0.0001), (1.0, 0.0001, 0.0001)]
    """
    groups = [
        {"params": [parameter for parameter in parameters if parameter.requires_grad], "lr": lr, "base_lr": lr}
        for parameters, lr in ((backbone, settings.lr), (head, settings.lr * settings.head_lr_factor))
    ]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
    momentum = settings.weight_decay if settings.momentum is None else settings.momentum
    return torch.optim.SGD(groups, momentum=momentum, weight_decay=settings.weight_decay)


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Bring every group's learning rate to ``factor`` times its ``base_lr``."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
