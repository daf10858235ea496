"""Asking a network a question with one small image, and leaving it as it was."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


def probe_image(module: nn.Module, height: int, width: int) -> Float[Tensor, "1 C H W"]:
    """A fixed noise image on the module's device and in its dtype; the caller's random state is not touched.

    >>> probe_image(nn.Conv2d(3, 1, 1), 32, 48).shape
    torch.Size([1, 3, 32, 48])
    """
    noise = torch.randn(1, channels_in(module), height, width, generator=torch.Generator().manual_seed(0))
    return noise.to(*placed(module))


def channels_in(module: nn.Module) -> int:
    """Channels of the images that a network takes: those of its first convolution, 3 where it has none."""
    return next((layer.in_channels for layer in module.modules() if isinstance(layer, nn.Conv2d)), 3)


def stated_sides(module: nn.Module) -> list[int]:
    """The sides of square images that a network for one size names, as transformers do; nothing of most others.

    >>> import timm
    >>> stated_sides(timm.create_model("vit_tiny_patch16_224", depth=1, img_size=96))
    [96]
    """
    named = [getattr(part, name, None) for part in module.modules() for name in ("img_size", "image_size")]
    sides = [size[0] if isinstance(size, tuple | list) else size for size in named]
    return list(dict.fromkeys(side for side in sides if isinstance(side, int)))


def placed(module: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Device and dtype of a network's parameters."""
    first = next(module.parameters(), None)
    return (torch.device("cpu"), torch.get_default_dtype()) if first is None else (first.device, first.dtype)


@contextmanager
def recording(
    network: nn.Module,
    record: Callable[[str, nn.Module, tuple[Any, ...], Any], Any],
    names: Iterable[str] | None = None,
) -> Iterator[None]:
    """Inside: ``record(name, module, inputs, output)`` for each module that runs, or each of those named.

    What it returns, unless None, takes the place of the output. Hooks live for a moment alone, so that the network can
    be copied, moved and saved like any other.

    """

    def hook(name: str) -> Any:
        return lambda module, inputs, output: record(name, module, inputs, output)

    if names is None:
        names = [name for name, _ in network.named_modules() if name]
    handles = [network.get_submodule(name).register_forward_hook(hook(name)) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def power_of_two(pixels: int, rows: int, columns: int) -> int:
    """The stride of a map of an image that is ``pixels`` higher than wide: pixels per cell, as a power of two.

    What more pixels add counts, as borders without padding cost a few cells whatever the size.
    """
    return 2 ** round(math.log2(pixels / max(rows - columns, 1)))


@contextmanager
def probing(module: nn.Module) -> Iterator[None]:
    """Inside: evaluation mode and no gradient. Outside: every part in the mode it had."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Inside: evaluation mode and no gradient for any parameter. Outside: everything as the caller had it."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    grads = [(parameter, parameter.requires_grad) for module in modules for parameter in module.parameters()]
    for module in modules:
        module.eval().requires_grad_(False)
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
        for parameter, needed in grads:
            parameter.requires_grad_(needed)


@contextmanager
def climbing(target: object) -> Iterator[None]:
    """Inside: the networks that ``target`` is or holds are frozen, and gradients flow, whatever is around it."""
    held = [target] if isinstance(target, nn.Module) else vars(target).values()
    networks = [value for value in held if isinstance(value, nn.Module)]
    with torch.inference_mode(False), torch.enable_grad(), frozen(*networks):
        yield
