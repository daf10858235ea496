"""Class activation maps, ``w_c . f`` (eq. 2), in closed form: one forward pass shows maps and scores of all classes."""

from __future__ import annotations

from typing import ClassVar

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

    shares_passes: ClassVar[bool] = True

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

    def see(
        self,
        x_MVCHW: Float[Tensor, "m v C H W"],
        classes_N: Int[Tensor, " n"],
        owners_N: Int[Tensor, " n"] | None = None,
    ) -> Seen:
        """Each image and its class or, with ``owners``, pairs of an image, by its place, and a class: one pass of an
        image shows all of its classes."""
        s_MVKhw = self.mapper.class_maps(x_MVCHW.flatten(0, 1)).unflatten(0, x_MVCHW.shape[:2])
        scores_MVK = means_MVK = s_MVKhw.mean(dim=(3, 4))
        if not self.signed:
            scores_MVK = s_MVKhw.relu().mean(dim=(3, 4))
        logits_MVK = means_MVK if self.mapper.bias is None else means_MVK + self.mapper.bias
        if owners_N is None:
            owners_N = torch.arange(len(classes_N), device=s_MVKhw.device)
        else:
            scores_MVK, logits_MVK = scores_MVK[owners_N], logits_MVK[owners_N]
        s_NVhw = s_MVKhw[owners_N, :, classes_N]
        r_NVhw = s_NVhw.relu()
        maps_NVhw = s_NVhw if self.signed else r_NVhw * self._share(s_NVhw.detach(), classes_N)
        return Seen(maps_NVhw, scores_MVK, plain=r_NVhw, logits=logits_MVK)

    def _share(self, s_NVhw: Float[Tensor, "n v h w"], classes_N: Int[Tensor, " n"]) -> Float[Tensor, "n v 1 1"]:
        # Half precision can neither count so far nor hold the guard.
        wide = torch.promote_types(s_NVhw.dtype, torch.float32)
        positive_NV = (s_NVhw > 0).sum(dim=(2, 3)).to(wide)
        k_N = (self.mapper.weight[classes_N] > 0).sum(dim=1).clamp(min=1).to(wide)
        share_NV = positive_NV / (k_N[:, None] * positive_NV.sum(dim=1, keepdim=True) + EPS)
        return share_NV.to(s_NVhw.dtype)[:, :, None, None]


def memory_order(network: torch.nn.Module) -> torch.memory_format:
    """The order that the network's convolutions hold their weights in; pixels in another are copied at every pass."""
    filters = [p for p in network.parameters() if p.ndim == 4 and p.shape[1] > 1 and p[0, 0].numel() > 1]
    last = bool(filters) and all(p.is_contiguous(memory_format=torch.channels_last) for p in filters)
    return torch.channels_last if last else torch.contiguous_format
