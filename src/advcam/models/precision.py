"""Class maps in less than single precision, for those who take speed for exactness."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from advcam.errors import SettingsError
from advcam.models.mapper import ClassMapper

Precision = Literal["32", "tf32", "bf16"]


def in_precision(mapper: ClassMapper, precision: str) -> ClassMapper:
    """The mapper with its features computed in ``precision``; pixels, head, scores and gradients stay as they are.

    Args:
        mapper: left alone; the returned one has a copy of the features where they change.
        precision: "32" and "tf32" compute in the mapper's own type; "bf16" holds weights and activations in bfloat16.

    >>> import torch
    >>> mapper = ClassMapper(torch.nn.Conv2d(3, 8, 3), torch.randn(5, 8))
    >>> maps = in_precision(mapper, "bf16").class_maps(torch.randn(1, 3, 16, 16))
    >>> maps.dtype
    torch.float32
    """
    if precision not in get_args(Precision):
        raise SettingsError(f"the precision must be one of {', '.join(get_args(Precision))}, not {precision}")
    if precision != "bf16":
        return mapper
    features = Narrow(copy.deepcopy(mapper.features), mapper.dtype)
    narrow = ClassMapper(features, mapper.weight, mapper.bias, mapper.mean, mapper.std)
    return narrow.train(mapper.training)


@contextmanager
def tensor_float(precision: str) -> Iterator[None]:
    """Inside, an NVIDIA GPU rounds the factors of convolutions to 10 bits with "tf32", and not otherwise.

    torch lets it unless told not to; outside it does as before.
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


class Narrow(nn.Module):
    """A network in bfloat16 with images and features in another type."""

    def __init__(self, network: nn.Module, outside: torch.dtype) -> None:
        super().__init__()
        self.network = network.to(torch.bfloat16)
        self.outside = outside

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images.to(torch.bfloat16)).to(self.outside)
