"""The attribution methods behind one call: maps of (image, class) pairs at one scale.

``Attributor`` is the interface; each method is a final class. All return raw maps on the network's grid, which
``multiscale`` adds over the scales, together with the plain class activation map and the scores of the same images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from advcam.attribute.climb import Begun, Climbed, begin, go_on
from advcam.attribute.multiscale import at_scale
from advcam.attribute.objective import pair_map
from advcam.attribute.pairs import check_pairs, image_batches
from advcam.attribute.pixels import class_maps, memory_order, start, views
from advcam.attribute.settings import AttributeSettings, ClimbSettings
from advcam.models.mapper import ClassMapper
from advcam.models.split import skipping


@runtime_checkable
class Attributor(Protocol):
    """Maps of images of one size. ``owners`` says for every class which of the images it belongs to."""

    @property
    def views(self) -> int:
        """Network inputs per pair: 2 where the mirror image takes part."""
        ...

    def __call__(
        self,
        mapper: ClassMapper,
        images: Float[Tensor, "m 3 H W"],
        classes: Int[Tensor, " n"],
        owners: Sequence[int],
        scale: float,
        batch: int,
        saliency: Float[Tensor, "m _ _"] | None = None,
    ) -> Climbed:
        """The maps of all pairs, with at most ``batch`` pairs in the network at a time."""
        ...


@dataclass(frozen=True)
class CAM:
    """Class activation maps of the image and its mirror image, added (IRN's baseline)."""

    views: ClassVar[int] = 2

    def __call__(
        self,
        mapper: ClassMapper,
        images: Float[Tensor, "m 3 H W"],
        classes: Int[Tensor, " n"],
        owners: Sequence[int],
        scale: float,
        batch: int,
        saliency: Float[Tensor, "m _ _"] | None = None,
    ) -> Climbed:
        # Nothing climbs, so there is nothing that saliency could hold.
        check_pairs(mapper, images, classes, owners)
        x_MV3HW = views(images, True, memory_order(mapper))
        with mapper.frozen(), torch.no_grad():
            s_MVKhw = torch.cat([class_maps(mapper, start(mapper, part)[0]) for part in x_MV3HW.split(batch)])
        own = list(owners)
        cam_Nhw = pair_map(s_MVKhw[own], mapper.weight, classes, relu=True, gradcam=False)
        return Climbed(cam_Nhw, cam_Nhw, mapper.logits(s_MVKhw.mean(dim=1))[own])


@dataclass(frozen=True)
class Climb:
    """Maps summed along the climb, with the number of steps and the weight that the scale gets."""

    settings: ClimbSettings
    scales: tuple[float, ...]

    @property
    def views(self) -> int:
        return 2 if self.settings.flip else 1

    def __call__(
        self,
        mapper: ClassMapper,
        images: Float[Tensor, "m 3 H W"],
        classes: Int[Tensor, " n"],
        owners: Sequence[int],
        scale: float,
        batch: int,
        saliency: Float[Tensor, "m _ _"] | None = None,
    ) -> Climbed:
        settings, mapper = at_scale(self.settings, scale), skipping(mapper, self.settings.skip)
        parts, order = [], []
        for own, pairs in image_batches(owners, batch):
            local = [own.index(owners[pair]) for pair in pairs]
            held = None if saliency is None else saliency[own]
            parts.append(begin(mapper, images[own], classes[pairs], settings, local, saliency=held))
            order += pairs
        begun = Begun.joined(parts)[sorted(range(len(order)), key=order.__getitem__)]
        summed = [
            go_on(mapper, begun[start : start + batch], classes[start : start + batch], settings)
            for start in range(0, len(order), batch)
        ]
        return Climbed(self.settings.scale_weight(self.scales) * torch.cat(summed), begun.cam, begun.logits)


def attributor(settings: AttributeSettings, climb: ClimbSettings) -> Attributor:
    """The method that the settings name."""
    return CAM() if settings.method == "cam" else Climb(climb, settings.scales)
