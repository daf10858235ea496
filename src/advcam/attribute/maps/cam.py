"""Class activation maps, ``w_c . f`` (eq. 2), in closed form: one forward pass shows maps and scores of all classes."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from advcam.attribute.objective import EPS
from advcam.attribute.seen import Seen
from advcam.attribute.settings import Units
from advcam.models.mapper import ClassMapper


class CAM:
    """The map of a classifier that ends in pooling and one linear layer.

    As the authors' program has it, the positive part of the class map, in maps and in scores, and the factor that its
    Grad-CAM of that part comes to: ``ReLU(S_b) N_b / ((N_0 + N_1) K+)`` with N_b positive cells in view b and K+
    positive head weights of the class. The fraction carries no gradient.

    Args:
        mapper: the classifier; shared, not copied.
        signed: class maps as they are and their means as scores, as equations 2 and 3 have them.

    >>> import torch, advcam
    >>> mapper = advcam.ClassMapper(torch.nn.Conv2d(3, 8, 3, stride=4, padding=1), torch.randn(5, 8))
    >>> CAM(mapper).see(torch.randn(2, 1, 3, 32, 48), torch.tensor([0, 3])).maps.shape
    torch.Size([2, 1, 8, 12])
    """

    def __init__(self, mapper: ClassMapper, *, signed: bool = False) -> None:
        self.mapper, self.signed = mapper, signed
        self.num_classes, self.mean, self.std = mapper.num_classes, mapper.mean, mapper.std

    @property
    def units(self) -> Units:
        channels = 1 if self.signed else self.mapper.channels
        return Units(self.mapper.input_range, channels, self.mapper.output_stride)

    @property
    def device(self) -> torch.device:
        return self.mapper.device

    @property
    def dtype(self) -> torch.dtype:
        return self.mapper.dtype

    def start(self, images: Float[Tensor, "n C H W"]) -> Float[Tensor, "n C H W"]:
        return images.contiguous(memory_format=memory_order(self.mapper))

    def see(self, x_NVCHW: Float[Tensor, "n v C H W"], classes_N: Int[Tensor, " n"]) -> Seen:
        s_NVKhw = self.mapper.class_maps(x_NVCHW.flatten(0, 1)).unflatten(0, x_NVCHW.shape[:2])
        s_NVhw = s_NVKhw[torch.arange(len(classes_N), device=s_NVKhw.device), :, classes_N]
        r_NVhw = s_NVhw.relu()
        means_NVK = s_NVKhw.mean(dim=(3, 4))
        logits_NVK = means_NVK if self.mapper.bias is None else means_NVK + self.mapper.bias
        if self.signed:
            return Seen(s_NVhw, means_NVK, plain=r_NVhw, logits=logits_NVK)
        scores_NVK = s_NVKhw.relu().mean(dim=(3, 4))
        return Seen(r_NVhw * self._share(s_NVhw.detach(), classes_N), scores_NVK, plain=r_NVhw, logits=logits_NVK)

    def _share(self, s_NVhw: Float[Tensor, "n v h w"], classes_N: Int[Tensor, " n"]) -> Float[Tensor, "n v 1 1"]:
        positive_NV = (s_NVhw > 0).sum(dim=(2, 3)).to(s_NVhw.dtype)
        k_N = (self.mapper.weight[classes_N] > 0).sum(dim=1).clamp(min=1).to(s_NVhw.dtype)
        share_NV = positive_NV / (k_N[:, None] * positive_NV.sum(dim=1, keepdim=True) + EPS)
        return share_NV[:, :, None, None]


def memory_order(network: torch.nn.Module) -> torch.memory_format:
    """The order that the network's convolutions hold their weights in; pixels in another are copied at every pass."""
    filters = [p for p in network.parameters() if p.ndim == 4 and p.shape[1] > 1 and p[0, 0].numel() > 1]
    last = bool(filters) and all(p.is_contiguous(memory_format=torch.channels_last) for p in filters)
    return torch.channels_last if last else torch.contiguous_format
