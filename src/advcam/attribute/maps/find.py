"""The last layer of a network that still is a map, found by measuring what its layers hand over."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from advcam.attribute.maps.layers import Layout, as_grid, check_layers, layout_of, probe
from advcam.errors import ModelError
from advcam.models.probe import climbing, recording

# Part of the cells that a score has to depend on: behind a class token the patches of the last layers say nothing.
REACHED = 0.5


def find_layer(model: nn.Module, target: Any = None) -> str:
    """The name of the last layer with a map of more than one cell, on most of whose cells the scores depend.

    Of a vision transformer with a class token that is the normalisation before the last attention; of one that averages
    its patches, the last normalisation; of a convolutional network, its last feature map.

    Raises:
        ModelError: there is none.
    """
    check_layers(model, ())
    image = probe(model)
    size = (image.shape[2], image.shape[3])
    seen: list[tuple[str, Tensor]] = []

    def keep(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim in (3, 4) and output.shape[0] == 1:
            seen.append((name, output))

    with climbing(model):
        with recording(model, keep):
            answer = model(image.clone().requires_grad_())
        answer = answer if target is None else target(answer)
        if not isinstance(answer, Tensor):
            raise ModelError(f"the network answers with a {type(answer).__name__} instead of scores: give target=")
        # Any direction does, as long as no class is left out.
        objective = (answer * torch.linspace(1, 2, answer.numel()).reshape(answer.shape).to(answer)).sum()
        widths = Counter(output.shape[2] for _, output in seen if output.ndim == 3)
        width = widths.most_common(1)[0][0] if widths else None
        runs = Counter(name for name, _ in seen)
        prefix = getattr(model, "num_prefix_tokens", None)
        maps: list[tuple[str, Tensor, Layout, int]] = []
        for name, output in seen:
            if runs[name] > 1 or (output.ndim == 3 and output.shape[2] != width):
                continue
            try:
                layout = layout_of(output, size)
                rows, columns = as_grid(output, layout, size, prefix).shape[2:]
            except ModelError:
                continue
            if rows == columns and 2 <= rows <= size[0] // 2:
                maps.append((name, output, layout, rows))
        # Beside tokens, heads x tokens x channels of an attention may look like a grid, of another size.
        tokens = {rows for *_, layout, rows in maps if layout == "tokens"}
        for name, output, layout, rows in reversed(maps):
            if tokens and rows not in tokens:
                continue
            (gradient,) = torch.autograd.grad(objective, output, retain_graph=True, allow_unused=True)
            if gradient is not None:
                depends = as_grid(gradient, layout, size, prefix).abs().sum(dim=1) > 0
                if float(depends.float().mean()) > REACHED:
                    return name
    raise ModelError(
        f"{type(model).__name__} has no layer with a map on which its scores depend: name one with feature_layer="
    )
