"""The two ways to map a data set behind one call: plain maps of the unchanged image, and maps summed while it climbs.

Both return raw maps of (image, class) pairs at one scale on the network's grid, with the plain map and the network's
answer for the same images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from advcam.attribute.climb import Climbed, climb_pairs
from advcam.attribute.multiscale import at_scale
from advcam.attribute.pairs import add_views
from advcam.attribute.pixels import views
from advcam.attribute.seen import Climbable
from advcam.attribute.settings import AttributeSettings, ClimbSettings
from advcam.models.probe import climbing


@dataclass(frozen=True)
class Plain:
    """Maps of the image and its mirror image, added (IRN's baseline). Nothing climbs that saliency could hold."""

    views: ClassVar[int] = 2
    """Network inputs per pair: 2 where the mirror image takes part."""

    def shares(self, map_: Climbable) -> bool:
        """Whether one pass of an image serves all its classes."""
        return getattr(map_, "shares_passes", False)

    def __call__(
        self,
        map_: Climbable,
        images: Float[Tensor, "m _ H W"],
        owners: Int[Tensor, " n"],
        classes: Int[Tensor, " n"],
        scale: float,
        saliency: Float[Tensor, "m _ _"] | None = None,
    ) -> Climbed:
        """The maps of all pairs of an image, ``images[owners]``, and a class, in one batch."""
        if not self.shares(map_):
            # One step that nothing follows: a forward pass alone.
            found = climb_pairs(map_, images[owners], classes, ClimbSettings(steps=1))
            return Climbed(found.cam, found.cam, found.logits)
        first = int(owners.min())
        with climbing(map_):
            x_MVCHW = views(map_.start(images[first : int(owners.max()) + 1]), True)
            seen = map_.see(x_MVCHW, classes, owners - first)  # type: ignore[call-arg]
        assert seen.plain is not None
        assert seen.logits is not None
        cam = add_views(seen.plain)
        return Climbed(cam, cam, seen.logits.mean(dim=1))


@dataclass(frozen=True)
class Climb:
    """Maps summed along the climb, with the number of steps and the weight that the scale gets."""

    settings: ClimbSettings
    scales: tuple[float, ...]

    @property
    def views(self) -> int:
        return 2 if self.settings.flip else 1

    def shares(self, map_: Climbable) -> bool:
        return False

    def __call__(
        self,
        map_: Climbable,
        images: Float[Tensor, "m _ H W"],
        owners: Int[Tensor, " n"],
        classes: Int[Tensor, " n"],
        scale: float,
        saliency: Float[Tensor, "m _ _"] | None = None,
    ) -> Climbed:
        held = None if saliency is None else saliency[owners]
        found = climb_pairs(map_, images[owners], classes, at_scale(self.settings, scale), saliency=held)
        return Climbed(self.settings.scale_weight(self.scales) * found.maps, found.cam, found.logits)


Attributor = Plain | Climb


def joined(parts: Sequence[Climbed]) -> Climbed:
    """The pairs of several batches, one after the other."""
    return Climbed(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Climbed)))


def attributor(settings: AttributeSettings, climb: ClimbSettings) -> Attributor:
    """The method that the settings name."""
    return Plain() if settings.method == "cam" else Climb(climb, settings.scales)
