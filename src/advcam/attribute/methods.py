"""The attribution methods behind one call: maps of (image, class) pairs at one scale.

``Attributor`` is the interface; each method is a final class. All return raw maps on the network's grid, which
``multiscale`` adds over the scales, together with the plain class activation map and the scores of the same images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from advcam.attribute.climb import Climbed, climb_pairs, pair_map, views
from advcam.attribute.multiscale import at_scale
from advcam.attribute.pairs import check_pairs
from advcam.attribute.settings import AttributeSettings, ClimbSettings
from advcam.models.mapper import ClassMapper


@runtime_checkable
class Attributor(Protocol):
    """Maps of one image size."""

    @property
    def views(self) -> int:
        """Network inputs per pair: 2 where the mirror image takes part."""
        ...

    def __call__(
        self,
        mapper: ClassMapper,
        images: Float[Tensor, "n 3 H W"],
        classes: Int[Tensor, " n"],
        scale: float,
        saliency: Float[Tensor, "n _ _"] | None = None,
    ) -> Climbed: ...


@dataclass(frozen=True)
class CAM:
    """Class activation maps of the image and its mirror image, added (IRN's baseline)."""

    views: ClassVar[int] = 2

    def __call__(
        self,
        mapper: ClassMapper,
        images: Float[Tensor, "n 3 H W"],
        classes: Int[Tensor, " n"],
        scale: float,
        saliency: Float[Tensor, "n _ _"] | None = None,
    ) -> Climbed:
        # Nothing climbs, so there is nothing that saliency could hold.
        check_pairs(mapper, images, classes)
        x_NV3HW = views(images, flip=True)
        with mapper.frozen(), torch.no_grad():
            s_NVKhw = mapper.class_maps(x_NV3HW.flatten(0, 1)).unflatten(0, x_NV3HW.shape[:2])
        cam_Nhw = pair_map(s_NVKhw, mapper.weight, classes, relu=True, gradcam=False)
        return Climbed(cam_Nhw, cam_Nhw, mapper.logits(s_NVKhw.mean(dim=1)))


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
        images: Float[Tensor, "n 3 H W"],
        classes: Int[Tensor, " n"],
        scale: float,
        saliency: Float[Tensor, "n _ _"] | None = None,
    ) -> Climbed:
        climbed = climb_pairs(mapper, images, classes, at_scale(self.settings, scale), saliency=saliency)
        return replace(climbed, maps=self.settings.scale_weight(self.scales) * climbed.maps)


def attributor(settings: AttributeSettings, climb: ClimbSettings) -> Attributor:
    """The method that the settings name."""
    return CAM() if settings.method == "cam" else Climb(climb, settings.scales)
