"""Batch normalisation with the statistics it was trained with, also while the rest of the network learns."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def freeze_batch_norm(module: nn.Module, affine_trainable: bool = True) -> int:
    """Makes every batch norm use and keep its stored statistics, whatever mode it is in; returns how many there are.

    The IRN program trains so: stored ImageNet statistics throughout, scale and shift learn like any parameter, unless
    ``affine_trainable`` is False. Calls of ``train()`` do not undo it.

    >>> from torch import nn
    >>> freeze_batch_norm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))
    1
    """
    norms = [child for child in module.modules() if isinstance(child, _BatchNorm)]
    for norm in norms:
        # A hook rather than a mode: Lightning and `train()` set the mode of every module anew.
        norm.register_forward_pre_hook(_use_stored_statistics)
        norm.training = False
        if not affine_trainable:
            for parameter in norm.parameters(recurse=False):
                parameter.requires_grad_(False)
    return len(norms)


def _use_stored_statistics(norm: nn.Module, inputs: tuple[Any, ...]) -> None:
    norm.training = False
