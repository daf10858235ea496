"""What a classifier stands on: a network cut behind its last feature map, and the facts that belong to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from advcam.errors import ModelError
from advcam.models.probe import probe_image, probing
from advcam.models.strides import output_stride_of

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Odd sides: photographs come in any size, and some networks only take multiples of 32.
_HEIGHT, _WIDTH = 129, 97


@dataclass(frozen=True)
class Backbone:
    """A feature extractor and what its library knows of it.

    Attributes:
        architecture: the full name, ``torchvision/NAME``, ``timm/NAME`` or ``irn_resnet50``.
        features: maps ``Float[n 3 H W]`` to ``Float[n C h w]``.
        prefix: what precedes the library's parameter names in ``features.state_dict()``.
        head_name: the library's name of its linear head over the mean of exactly this feature map, else None.
        mean, std: of the input, for pixel values in [0, 1], as the library's default weights want it.
        input_size: height and width of the crops that the default weights were made for.
        channels: C.
        output_stride: pixels of the image per cell of the feature map.
    """

    architecture: str
    features: nn.Module
    prefix: str
    head_name: str | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    input_size: tuple[int, int]
    channels: int
    output_stride: int


def measure_backbone(
    architecture: str,
    features: nn.Module,
    *,
    prefix: str,
    head_name: str | None,
    mean: Sequence[float],
    std: Sequence[float],
    input_size: Sequence[int],
    output_stride: int | None = None,
) -> Backbone:
    """The backbone with what a probe image shows of it: its channels and its output stride, refused if another one was
    asked for."""
    try:
        with probing(features):
            grid = features(probe_image(features, _HEIGHT, _WIDTH))
    except Exception as error:  # each network refuses a size in its own way
        raise no_feature_map(architecture) from error
    if grid.ndim != 4:
        raise no_feature_map(architecture)
    reached = output_stride_of(features)
    if output_stride not in (None, reached):
        raise ModelError(
            f"{architecture} stays at an output stride of {reached} when asked for {output_stride}: leave "
            f"backbone.output_stride out or take an architecture such as resnet50"
        )
    return Backbone(
        architecture=architecture,
        features=features,
        prefix=prefix,
        head_name=head_name,
        mean=tuple(float(value) for value in mean),
        std=tuple(float(value) for value in std),
        input_size=(int(input_size[0]), int(input_size[1])),
        channels=grid.shape[1],
        output_stride=reached,
    )


def no_feature_map(architecture: str) -> ModelError:
    """The refusal of networks for one image size."""
    return ModelError(
        f"{architecture} gives no feature map of channels x height x width for images of any size, so it has no class "
        "activation maps: take a convolutional architecture such as resnet50 or a transformer such as "
        "timm/vit_small_patch16_224, or explain it with advcam.AdvCAM"
    )


def stride_out_of_reach(architecture: str, output_stride: int, reason: ModelError) -> ModelError:
    """The refusal of a stride that the layers of a network do not allow."""
    return ModelError(f"{architecture} does not offer an output stride of {output_stride}: {reason}")
