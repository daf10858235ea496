"""What a training changes in torch, and that it is undone."""

from __future__ import annotations

import torch
from torch.utils import deterministic

from advcam.training.machine import quiet_lightning
from advcam.training.module import TaskModule


def test_torch_is_left_as_it_was():
    assert not torch.are_deterministic_algorithms_enabled()
    assert deterministic.fill_uninitialized_memory
    with quiet_lightning():
        torch.use_deterministic_algorithms(True, warn_only=True)
        TaskModule.on_fit_start(None)
        # Else a tensor's memory is written before its values are.
        assert not deterministic.fill_uninitialized_memory
    assert not torch.are_deterministic_algorithms_enabled()
    assert deterministic.fill_uninitialized_memory
