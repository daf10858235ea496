"""The one small interface over every classifier: a feature map, and a linear head over its pooled value."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from advcam.errors import ModelError
from advcam.models.probe import channels_in, frozen
from advcam.models.strides import output_stride_of

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ClassMapper(nn.Module):
    """A classifier that ends in global average pooling and a linear layer, seen as a producer of class maps.

    Images are tensors in the network's own input space, ``(u / 255 - mean) / std``; ``mean`` and ``std`` are kept
    here so that pictures can be brought into it. Attribution runs inside ``frozen()``, with stored statistics;
    ``class_maps`` by itself runs in the mode that the network is in.

    Args:
        features: maps ``Float[n 3 H W]`` to the last feature map ``Float[n C h w]``.
        weight: the linear head, ``Float[K C]``.
        bias: the head's bias ``Float[K]``, or None. It moves scores, never maps.
        mean, std: of the input, per channel, for pixel values in [0, 1].

    Raises:
        ModelError: the head is not a matrix, or the bias does not fit it.

    >>> import torch, advcam
    >>> mapper = advcam.ClassMapper(torch.nn.Conv2d(3, 8, 3, stride=4, padding=1), torch.randn(5, 8))
    >>> mapper.class_maps(torch.randn(2, 3, 32, 48)).shape
    torch.Size([2, 5, 8, 12])
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        features: nn.Module,
        weight: Tensor,
        bias: Tensor | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        if weight.ndim != 2:
            raise ModelError(
                f"the head's weight must be a matrix of classes x channels, not of shape {tuple(weight.shape)}"
            )
        if bias is not None and bias.shape != weight.shape[:1]:
            raise ModelError(f"the head's bias must have {weight.shape[0]} values, not shape {tuple(bias.shape)}")
        self.features = features
        self.register_buffer("weight", weight.detach())
        self.register_buffer("bias", None if bias is None else bias.detach())
        self.mean = tuple(float(value) for value in mean)
        self.std = tuple(float(value) for value in std)

    @classmethod
    def from_model(
        cls,
        model: nn.Module,
        feature_layer: str | None = None,
        head: str | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> ClassMapper:
        """The class maps of a torchvision or timm classifier (see ``advcam.models.discover.mapper_from_model``)."""
        from advcam.models.discover import mapper_from_model

        return mapper_from_model(model, feature_layer, head, mean, std)

    @property
    def num_classes(self) -> int:
        return self.weight.shape[0]

    @property
    def channels(self) -> int:
        """Channels of the feature map that the head weighs."""
        return self.weight.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        return self.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.weight.device

    @property
    def input_range(self) -> float:
        """Width of the input space, over all channels together: 4.76 with ImageNet's statistics, 2 for [-1, 1]."""
        return input_range_of(self.mean, self.std)

    @cached_property
    def output_stride(self) -> int:
        """Pixels of the image per cell of the class maps, measured once."""
        return output_stride_of(self.features)

    def class_maps(self, images: Float[Tensor, "n _ H W"]) -> Float[Tensor, "n K h w"]:
        """Signed class activation maps ``w_k . f`` before pooling, without bias (eq. 2)."""
        features = self.features(images)
        if features.ndim != 4 or features.shape[1] != self.weight.shape[1]:
            raise ModelError(
                f"the features have shape {tuple(features.shape)}, "
                f"but the head expects n x {self.weight.shape[1]} x h x w"
            )
        return nn.functional.conv2d(features, self.weight[:, :, None, None])

    def logits(self, maps: Float[Tensor, "n K h w"]) -> Float[Tensor, "n K"]:
        """Class scores before sigmoid or softmax: the mean of the class maps, plus the bias."""
        scores = maps.mean(dim=(2, 3))
        return scores if self.bias is None else scores + self.bias

    def forward(self, images: Float[Tensor, "n _ H W"]) -> Float[Tensor, "n K"]:
        """The class scores of images."""
        return self.logits(self.class_maps(images))

    def frozen(self) -> AbstractContextManager[None]:
        """Inside: evaluation mode and no gradient for any parameter. Outside: as the caller had it."""
        return frozen(self)


def of_class(maps_NKhw: Float[Tensor, "n K h w"], classes: Int[Tensor, " n"]) -> Float[Tensor, "n h w"]:
    """Each item's map of its own class."""
    return maps_NKhw[torch.arange(len(classes), device=maps_NKhw.device), classes]


def input_range_of(mean: Sequence[float], std: Sequence[float]) -> float:
    """Width of the space that pixels in [0, 1] are normalised into."""
    low = min(-m / s for m, s in zip(mean, std, strict=True))
    high = max((1 - m) / s for m, s in zip(mean, std, strict=True))
    return high - low


def statistics_of(model: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation that a model states for its input, as timm's do, else ImageNet's; grey has their mean."""
    config = getattr(model, "pretrained_cfg", None) or {}
    mean, std = (tuple(config.get(name, default)) for name, default in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)))
    if channels_in(model) == 1 and len(mean) == 3:
        return (sum(mean) / 3,), (sum(std) / 3,)
    return mean, std
