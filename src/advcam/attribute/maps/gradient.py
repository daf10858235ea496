"""Maps of any layer of any network: its channels weighed by the gradient of the class's score.

The weights come from a backward pass through the network's tail alone, from the score to the layer. In the objective of
a climb they are constants, as in the authors' program, unless ``through_weights`` is set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from advcam.attribute.maps.cam import memory_order
from advcam.attribute.maps.layers import Layout, as_grid, check_layers, layout_of, probe, run
from advcam.attribute.seen import Seen
from advcam.attribute.settings import Units
from advcam.errors import ModelError
from advcam.models.mapper import input_range_of, statistics_of
from advcam.models.probe import placed, probing

# Weights of a layer's channels from its output and the score's gradient there, both p x C x h x w.
Weigh = Callable[[Tensor, Tensor], Tensor]
Target = Callable[[Tensor], Tensor]


class GradientMap:
    """The positive part of a weighed sum of a layer's channels. Made by ``GradCAM`` and its kin.

    Args:
        model: any network; shared, not copied. In evaluation mode while it is looked at.
        layer: name of a module, as in ``model.named_modules()``, or several: their maps are each divided by their
            maximum and averaged on the finest grid.
        weigh: weights from the layer's output and the gradient.
        target: what is explained, where it is not a class: from the network's output the n scores, or n x K.
        through_weights: let the climb's gradient pass through the weights too; a second backward pass through the tail.
        mean, std: of the input; None takes timm's ``pretrained_cfg``, and ImageNet's where the model has none.
        prefix: tokens that precede those of the patches; None finds out.
    """

    def __init__(
        self,
        model: nn.Module,
        layer: str | Sequence[str],
        weigh: Weigh,
        *,
        target: Target | None = None,
        through_weights: bool = False,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        prefix: int | None = None,
    ) -> None:
        self.model, self.weigh, self.target, self.through_weights = model, weigh, target, through_weights
        self.layers = (layer,) if isinstance(layer, str) else tuple(layer)
        check_layers(model, self.layers)
        stated_mean, stated_std = statistics_of(model)
        self.mean, self.std = tuple(mean or stated_mean), tuple(std or stated_std)
        self.prefix = getattr(model, "num_prefix_tokens", None) if prefix is None else prefix
        self.device, self.dtype = placed(model)
        with probing(model):
            image = probe(model)
            answer, outputs = run(model, image, self.layers)
            self.num_classes = self._scores(answer).shape[1]
        size = (image.shape[2], image.shape[3])
        self.layouts = [layout_of(output, size) for output in outputs]
        grids = [
            as_grid(output, layout, size, self.prefix) for output, layout in zip(outputs, self.layouts, strict=True)
        ]
        rows = max(grid.shape[2] for grid in grids)
        if rows < 2:
            raise ModelError(f"layer '{self.layers[0]}' hands over a single cell, not a map: name an earlier one")
        self._stride = round(size[0] / rows)

    @cached_property
    def units(self) -> Units:
        return Units(input_range_of(self.mean, self.std), 1, self._stride)

    def start(self, images: Float[Tensor, "n C H W"]) -> Float[Tensor, "n C H W"]:
        return images.contiguous(memory_format=memory_order(self.model))

    def see(self, x_NVCHW: Float[Tensor, "n v C H W"], classes_N: Int[Tensor, " n"]) -> Seen:
        size, views = (x_NVCHW.shape[3], x_NVCHW.shape[4]), x_NVCHW.shape[1]
        answer, outputs = run(self.model, x_NVCHW.flatten(0, 1), self.layers)
        y_PK = self._scores(answer)
        own_P = y_PK.gather(1, classes_N.repeat_interleave(views)[:, None])
        gradients = torch.autograd.grad(
            own_P.sum(), outputs, retain_graph=True, create_graph=self.through_weights, allow_unused=True
        )
        maps = [
            self._map(output, gradient, layout, size)
            for output, gradient, layout in zip(outputs, gradients, self.layouts, strict=True)
        ]
        return Seen(averaged(maps).unflatten(0, (-1, views)), y_PK.unflatten(0, (-1, views)))

    def _map(
        self, output: Tensor, gradient: Tensor | None, layout: Layout, size: tuple[int, int]
    ) -> Float[Tensor, "p h w"]:
        f_PChw = as_grid(output, layout, size, self.prefix)
        if gradient is None:
            return f_PChw.sum(dim=1) * 0
        g_PChw = as_grid(gradient, layout, size, self.prefix)
        weights = self.weigh(f_PChw if self.through_weights else f_PChw.detach(), g_PChw)
        return (weights * f_PChw).sum(dim=1).relu()

    def _scores(self, answer: object) -> Float[Tensor, "p K"]:
        if self.target is not None:
            answer = self.target(answer)  # type: ignore[arg-type]
            answer = answer[:, None] if isinstance(answer, Tensor) and answer.ndim == 1 else answer
        if not isinstance(answer, Tensor) or answer.ndim != 2:
            shape = f"shape {tuple(answer.shape)}" if isinstance(answer, Tensor) else f"type {type(answer).__name__}"
            raise ModelError(
                f"the network answers with {shape} instead of a score per image and class: give target=, a function "
                "from its answer to the scores that are to be explained"
            )
        return answer


def averaged(maps: Sequence[Float[Tensor, "p _ _"]]) -> Float[Tensor, "p h w"]:
    """Maps of several layers, each divided by its maximum, averaged on the finest grid; one is left as it is."""
    if len(maps) == 1:
        return maps[0]
    finest = max(((m.shape[1], m.shape[2]) for m in maps), key=lambda size: size[0] * size[1])
    scaled = [m / m.detach().amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(m.dtype).tiny) for m in maps]
    same = [nn.functional.interpolate(m[:, None], finest, mode="bilinear", align_corners=False)[:, 0] for m in scaled]
    return torch.stack(same).mean(dim=0)
