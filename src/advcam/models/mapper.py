"""The one small interface over every classifier: a feature map, and a linear head over its pooled value."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from advcam.errors import ModelError
from advcam.models.backbone import IMAGENET_MEAN, IMAGENET_STD
from advcam.models.discover import find_parts
from advcam.models.probe import channels_in, frozen
from advcam.models.strides import output_stride_of


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
        """The class maps of a torchvision, timm or own classifier that ends in global average pooling + linear.

        Both are found with a probe image and checked against the model's own output (``models.discover``).

        Args:
            model: shared, not copied: what is learned later shows in the maps. It is left in evaluation mode.
            feature_layer: name of the module whose output is the feature map, as in ``model.named_modules()``.
            head: name of the linear layer. The check then compares with this layer's output, so that models which
                return several tensors, or probabilities, can be mapped as well.
            mean, std: of the input; None takes timm's ``pretrained_cfg``, and ImageNet's where the model carries none.
                torchvision's models carry none: state 0.5 for its EfficientNetV2-L, whose weights were made so.

        Raises:
            ModelError: the model does not end so, or a name is not in the model; says what to use instead.

        >>> import torchvision
        >>> ClassMapper.from_model(torchvision.models.resnet18()).class_maps(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 1000, 2, 3])
        """
        if hasattr(model, "as_backbone") and feature_layer is None and head is None:
            mapper = model.mapper()  # type: ignore[operator]  # a Classifier knows its parts
        else:
            mapper = cls(*find_parts(model, feature_layer, head), *statistics_of(model))
        model.eval()
        mapper.mean = mapper.mean if mean is None else tuple(mean)
        mapper.std = mapper.std if std is None else tuple(std)
        return mapper.eval()

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
