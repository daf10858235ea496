"""The two ways to map a data set behind one call: plain maps of the unchanged image, and maps summed while it climbs.

Both return raw maps of (image, class) pairs at one scale on the network's grid, with the plain map and the network's
answer for the same images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from advcam.attribute.climb import Climbed, as_climbable, climb_pairs
from advcam.attribute.multiscale import at_scale
from advcam.attribute.seen import Climbable
from advcam.attribute.settings import AttributeSettings, ClimbSettings
from advcam.models.mapper import ClassMapper


@runtime_checkable
class Attributor(Protocol):
    """Maps of pairs of one size."""

    @property
    def views(self) -> int:
        """Network inputs per pair: 2 where the mirror image takes part."""
        ...

    def __call__(
        self,
        mapper: ClassMapper | Climbable,
        images: Float[Tensor, "n 3 H W"],
        classes: Int[Tensor, " n"],
        scale: float,
        saliency: Float[Tensor, "n _ _"] | None = None,
    ) -> Climbed:
        """The maps of all pairs, in one batch."""
        ...


@dataclass(frozen=True)
class Plain:
    """Maps of the image and its mirror image, added (IRN's baseline)."""

    views: ClassVar[int] = 2

    def __call__(
        self,
        mapper: ClassMapper | Climbable,
        images: Float[Tensor, "n 3 H W"],
        classes: Int[Tensor, " n"],
        scale: float,
        saliency: Float[Tensor, "n _ _"] | None = None,
    ) -> Climbed:
        # One step that nothing follows: a forward pass alone. Nothing climbs that saliency could hold.
        found = climb_pairs(mapper, images, classes, ClimbSettings(steps=1))
        return Climbed(found.cam, found.cam, found.logits)


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
        mapper: ClassMapper | Climbable,
        images: Float[Tensor, "n 3 H W"],
        classes: Int[Tensor, " n"],
        scale: float,
        saliency: Float[Tensor, "n _ _"] | None = None,
    ) -> Climbed:
        settings = at_scale(self.settings, scale)
        found = climb_pairs(as_climbable(mapper, settings), images, classes, settings, saliency=saliency)
        return Climbed(self.settings.scale_weight(self.scales) * found.maps, found.cam, found.logits)


def joined(parts: Sequence[Climbed]) -> Climbed:
    """The pairs of several batches, one after the other."""
    return Climbed(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Climbed)))


def attributor(settings: AttributeSettings, climb: ClimbSettings) -> Attributor:
    """The method that the settings name."""
    return Plain() if settings.method == "cam" else Climb(climb, settings.scales)
