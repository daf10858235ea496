"""SEAM's maps (Table 12): climbed on the score before its refinement, the refined map is what is summed.

So the authors said of their variant: the logit is the mean of the map before it is enlarged and refined, and the maps
that are accumulated are the refined ones. The background's channel takes no part in the suppression: our choice.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from advcam.attribute.maps.cam import memory_order
from advcam.attribute.seen import Seen
from advcam.attribute.settings import Units
from advcam.classify.seam import SEAMNetwork
from advcam.models.mapper import input_range_of
from advcam.models.probe import placed


class SEAM:
    """The maps of a network of SEAM, such as ``SEAMNetwork.load("resnet38_SEAM.pth")``.

    >>> map_ = SEAM(SEAMNetwork(5, width=2))
    >>> map_.see(torch.zeros(2, 1, 3, 32, 48), torch.tensor([0, 4])).scores.shape
    torch.Size([2, 1, 5])
    """

    def __init__(self, network: SEAMNetwork) -> None:
        self.network = network
        self.num_classes = network.fc8.out_channels - 1
        self.mean, self.std = network.mean, network.std
        self.device, self.dtype = placed(network)
        self.units = Units(input_range_of(self.mean, self.std), 1, 8)

    def start(self, images: Float[Tensor, "n C H W"]) -> Float[Tensor, "n C H W"]:
        return images.contiguous(memory_format=memory_order(self.network))

    def see(self, x_NVCHW: Float[Tensor, "n v C H W"], classes_N: Int[Tensor, " n"]) -> Seen:
        signed, after = (
            maps[:, 1:].unflatten(0, x_NVCHW.shape[:2]) for maps in self.network.both_maps(x_NVCHW.flatten(0, 1))
        )
        rows = torch.arange(len(classes_N), device=classes_N.device)
        return Seen(signed[rows, :, classes_N].relu(), signed.mean(dim=(3, 4)), kept=after[rows, :, classes_N].detach())
