"""SEAM's maps (Table 12): climbed on the score before its refinement, the refined map is what is summed.

So the authors said of their variant: the logit is the mean of the map before it is enlarged and refined, and the maps
that are accumulated are the refined ones. The background takes no part in the suppression: our choice.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from advcam.attribute.maps.cam import memory_order
from advcam.attribute.seen import Seen
from advcam.attribute.settings import Units
from advcam.classify.seam import SEAM as SEAMNetwork
from advcam.models.mapper import input_range_of
from advcam.models.probe import placed


class SEAM:
    """The maps of a network of SEAM: one that was trained here (``load_method``) or published (``published_method``).

    >>> from advcam.models.architectures import build_backbone
    >>> from advcam.models.classifier import Classifier
    >>> map_ = SEAM(SEAMNetwork(Classifier(build_backbone("timm/test_resnet", 8), 5)))
    >>> map_.see(torch.zeros(2, 1, 3, 32, 48), torch.tensor([0, 4])).scores.shape
    torch.Size([2, 1, 5])
    """

    def __init__(self, network: SEAMNetwork) -> None:
        self.network, classifier = network, network.classifier
        self.num_classes, self.mean, self.std = classifier.num_classes, classifier.mean, classifier.std
        self.device, self.dtype = placed(network)
        self.units = Units(input_range_of(self.mean, self.std), 1, classifier.output_stride)

    def start(self, images: Float[Tensor, "n C H W"]) -> Float[Tensor, "n C H W"]:
        return images.contiguous(memory_format=memory_order(self.network))

    def see(self, x_NVCHW: Float[Tensor, "n v C H W"], classes_N: Int[Tensor, " n"]) -> Seen:
        signed_NVKhw, after_NVBhw = (
            maps.unflatten(0, x_NVCHW.shape[:2]) for maps in self.network.both_maps(x_NVCHW.flatten(0, 1))
        )
        rows, bias = torch.arange(len(classes_N), device=classes_N.device), self.network.classifier.head.bias
        scores_NVK = signed_NVKhw.mean(dim=(3, 4))
        return Seen(
            signed_NVKhw[rows, :, classes_N].relu(),
            scores_NVK,
            kept=after_NVBhw[rows, :, classes_N + 1].detach(),
            logits=scores_NVK if bias is None else scores_NVK + bias,
        )
