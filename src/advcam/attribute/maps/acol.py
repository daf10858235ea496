"""ACoL's two branches: the first classifies and is climbed, the maps of both are summed and fused."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from advcam.attribute.maps.cam import CAM
from advcam.attribute.seen import Seen
from advcam.attribute.settings import Units
from advcam.classify.wsol.acol import ACoL as ACoLNetwork
from advcam.classify.wsol.acol import fused
from advcam.models.mapper import ClassMapper


class ACoL:
    """The maps of a network trained by ACoL.

    Args:
        network: the trained method in evaluation mode.
        mapper: its classifier as a mapper, perhaps with its batch norms folded; None takes it as it is.
        signed: see ``CAM``.
    """

    def __init__(self, network: ACoLNetwork, mapper: ClassMapper | None = None, *, signed: bool = True) -> None:
        self.network = network
        self.first = CAM(network.classifier.mapper() if mapper is None else mapper, signed=signed)
        self.mapper = self.first.mapper
        self.num_classes, self.mean, self.std = self.mapper.num_classes, self.mapper.mean, self.mapper.std

    @property
    def units(self) -> Units:
        return self.first.units

    @property
    def device(self) -> torch.device:
        return self.mapper.device

    @property
    def dtype(self) -> torch.dtype:
        return self.mapper.dtype

    def start(self, images: Float[Tensor, "n C H W"]) -> Float[Tensor, "n C H W"]:
        return self.first.start(images)

    def see(self, x_NVCHW: Float[Tensor, "n v C H W"], classes_N: Int[Tensor, " n"]) -> Seen:
        """Of the first branch; the second branch's map lies below the first's in what is summed."""
        seen = self.first.see(x_NVCHW, classes_N)
        views = x_NVCHW.shape[1]
        with torch.no_grad():
            second = self.network.both_maps(x_NVCHW.flatten(0, 1), classes_N.repeat_interleave(views))[1]
        both = torch.cat([seen.maps.detach(), second.unflatten(0, (-1, views))], dim=2)
        return seen._replace(kept=both)

    def finish(self, total_Nhw: Float[Tensor, "n _ w"]) -> Float[Tensor, "n h w"]:
        """Both branches' sums fused as ACoL's test fuses them."""
        first, second = total_Nhw.chunk(2, dim=1)
        return fused(first, second)
