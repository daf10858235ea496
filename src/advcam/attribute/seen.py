"""What a climb needs of a map: that it can be seen, differentiably, for images and their classes."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from advcam.attribute.settings import Units


class Seen(NamedTuple):
    """What one forward pass shows of N pairs of (image, class) in V views."""

    maps: Float[Tensor, "n v h w"]
    """Of each pair's class, in the graph: what is restricted (eq. 5 and 7). A mirrored view's map is mirrored too."""
    scores: Float[Tensor, "n v K"]
    """y_k of all classes, in the graph."""
    kept: Float[Tensor, "n v h w"] | None = None
    """What is summed (eq. 4), where it is another map than the one restricted."""
    plain: Float[Tensor, "n v h w"] | None = None
    """The baseline, where it is the map without a factor that the climb wants of it."""
    logits: Float[Tensor, "n v K"] | None = None
    """What the network itself answers, where the scores that are climbed are others."""


@runtime_checkable
class Climbable(Protocol):
    """A map that can be climbed. ``torch.nn.Module`` attributes are frozen while it is.

    May have ``num_classes``, against which classes are checked; ``finish``, which makes a map of what was summed; and
    ``shares_passes``, where ``see`` takes the places of the images that pairs belong to, and one pass serves them all.
    """

    @property
    def units(self) -> Units:
        """What a step size and lambda are measured in here."""
        ...

    def start(self, images: Float[Tensor, "n C H W"]) -> Float[Tensor, "n C H W"]:
        """What is climbed: the pixels, as the network wants them."""
        ...

    def see(self, x_NVCHW: Float[Tensor, "n v C H W"], classes_N: Int[Tensor, " n"]) -> Seen:
        """One forward pass."""
        ...
