"""One forward pass that also shows what named layers hand over, as grids, and lets gradients be taken there."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from advcam.errors import ModelError
from advcam.models.probe import channels_in, probe_image, recording, stated_sides

Layout = Literal["channels first", "channels last", "tokens"]
# Class and register tokens before those of the patches: timm's models count theirs, others have one or none.
_PREFIXES = (1, 0, 2, 5)
_SIDES = (224, 96, 256, 384, 336, 64)


def check_layers(model: nn.Module, layers: Sequence[str]) -> None:
    """ModelError where a name is none of ``model.named_modules()``; it names the nearest ones."""
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError("a scripted model shows none of its layers: give the module that it was scripted from")
    names = [name for name, _ in model.named_modules() if name]
    for layer in layers:
        if layer not in names:
            near = ", ".join(difflib.get_close_matches(layer, names, n=3, cutoff=0.4) or names[-3:])
            raise ModelError(f"the network has no layer '{layer}': did you mean one of {near}?")


def run(model: nn.Module, images: Float[Tensor, "p C H W"], layers: Sequence[str]) -> tuple[Any, list[Tensor]]:
    """The network's answer, and the layers' outputs in its graph.

    A gradient can be taken at each output even where none flows to the images, so that plain maps need no more.
    """
    seen: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, inputs: Any, output: Any) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim not in (3, 4):
            raise ModelError(f"layer '{name}' hands over no map of channels, but {_said(output)}: name another one")
        if name in seen:
            raise ModelError(f"layer '{name}' runs more than once per image: name another one")
        seen[name] = output if output.requires_grad else output.detach().requires_grad_()
        return seen[name].clone()  # the next layer may write over what it gets

    with recording(model, keep, layers):
        answer = model(images)
    missing = [name for name in layers if name not in seen]
    if missing:
        raise ModelError(f"layer '{missing[0]}' does not run: name another one")
    return answer, [seen[name] for name in layers]


def as_grid(
    output: Tensor, layout: Layout, size: tuple[int, int], prefix: int | None = None
) -> Float[Tensor, "p C h w"]:
    """A layer's output with channels first on its grid; class and register tokens are left out."""
    if layout == "channels first":
        return output
    if layout == "channels last":
        return output.permute(0, 3, 1, 2)
    before, rows, columns = token_grid(output.shape[1], size, prefix)
    return output[:, before:].unflatten(1, (rows, columns)).permute(0, 3, 1, 2)


def token_grid(tokens: int, size: tuple[int, int], prefix: int | None = None) -> tuple[int, int, int]:
    """How many tokens precede those of the patches, and the rows and columns of these.

    >>> token_grid(197, (224, 224)), token_grid(29, (64, 112), prefix=1), token_grid(201, (224, 224))
    ((1, 14, 14), (1, 4, 7), (5, 14, 14))
    """
    for before in _PREFIXES if prefix is None else (prefix,):
        rows = math.sqrt(max(tokens - before, 0) * size[0] / size[1])
        for guess in (round(rows), math.floor(rows), math.ceil(rows)):
            if guess > 0 and (tokens - before) % guess == 0:
                columns = (tokens - before) // guess
                if prefix is not None or abs(columns * size[0] - guess * size[1]) <= max(size):
                    return before, guess, columns
    raise ModelError(f"{tokens} tokens are no grid over an image of {size[0]} x {size[1]} pixels: name another layer")


def layout_of(output: Tensor, size: tuple[int, int]) -> Layout:
    """How a layer hands over its map, told by a square image's."""
    if output.ndim == 3:
        return "tokens"
    _, first, second, third = output.shape
    return "channels last" if first == second != third else "channels first"


def probe(model: nn.Module) -> Float[Tensor, "1 C H W"]:
    """A square noise image that the network takes."""
    for side in (*stated_sides(model), *_SIDES):
        image = probe_image(model, side, side)
        try:
            with torch.no_grad():
                model(image)
            return image
        except Exception as error:  # every network refuses a size in its own way
            failure = error
    raise ModelError(
        f"{type(model).__name__} takes no image of {channels_in(model)} channels and 64 to 384 pixels a side "
        f"({failure})"
    ) from failure


def _said(output: Any) -> str:
    return f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
