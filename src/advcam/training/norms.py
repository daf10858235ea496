"""A batch norm that would learn from a single value of each channel, told before torch fails on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from advcam.errors import SettingsError
from advcam.training.settings import FitSettings


@contextmanager
def norms_checked(network: nn.Module, settings: FitSettings) -> Iterator[None]:
    """Inside, a pass raises SettingsError where a batch norm in training mode sees one value of each channel."""
    norms = [part for part in network.modules() if isinstance(part, _BatchNorm)]
    hooks = [norm.register_forward_pre_hook(partial(_check, settings)) for norm in norms]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _check(settings: FitSettings, norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    if not norm.training or inputs[0].numel() != inputs[0].shape[1]:
        return
    section = settings.section
    fixes = [f"raise {section}batch_size, or lower {section}accumulate or the number of devices"]
    if hasattr(settings, "crop"):
        fixes.append(f"raise {section}crop, which is {settings.crop}")
    if hasattr(settings, "freeze_batch_norm"):
        fixes.append(f"set {section}freeze_batch_norm true")
    raise SettingsError(
        f"{section}batch_size {settings.batch_size} leaves one image to a pass, whose features are a single cell, "
        f"and batch norm cannot learn from one value: {'; or '.join(fixes)}"
    )
