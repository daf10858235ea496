"""timm's networks, cut behind their last feature map or the grid of their patches, and their pretrained weights."""

from __future__ import annotations

import math
from typing import Any, no_type_check

import timm
from jaxtyping import Float
from torch import Tensor, nn

from advcam.errors import ModelError, SettingsError
from advcam.models.backbone import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Backbone,
    measure_backbone,
    no_feature_map,
    stride_out_of_reach,
)
from advcam.models.from_torchvision import cannot_fetch
from advcam.models.probe import probe_image, probing, recording
from advcam.models.settings import OUTPUT_STRIDES
from advcam.models.strides import dilate, output_stride_of


class ForwardFeatures(nn.Module):
    """A timm model up to its last feature map."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    @no_type_check  # torch.fx traces it with what is no tensor
    def forward(self, images: Float[Tensor, "n _ H W"]) -> Tensor:
        return self.model.forward_features(images)


class TokenFeatures(ForwardFeatures):
    """A timm transformer up to its last tokens, those of the patches on their grid."""

    @no_type_check
    def forward(self, images: Float[Tensor, "n 3 H W"]) -> Tensor:
        tokens = self.model.forward_features(images)[:, self.model.num_prefix_tokens :]
        rows = math.ceil(images.shape[2] / self.model.patch_embed.patch_size[0])
        return tokens.unflatten(1, (rows, -1)).permute(0, 3, 1, 2)


def timm_backbone(architecture: str, output_stride: int | None) -> Backbone:
    """``timm/NAME`` or ``timm/NAME.TAG``; an output stride as timm offers it for the family, else by dilation.

    >>> backbone = timm_backbone("timm/mobilenetv2_100", 16)
    >>> backbone.channels, backbone.head_name
    (1280, 'classifier')
    """
    name = architecture.removeprefix("timm/")
    try:
        model: Any = timm.create_model(name, pretrained=False)
    except RuntimeError as error:
        raise ModelError(f"timm cannot build {architecture} ({error}): check the tag behind the point") from error
    config = model.pretrained_cfg
    if hasattr(model, "num_prefix_tokens"):
        return _transformer(architecture, output_stride)
    if config.get("fixed_input_size", False):
        raise no_feature_map(architecture)
    unused = _remove_unused(architecture, model)
    if output_stride not in (None, output_stride_of(ForwardFeatures(model))):
        model = _with_output_stride(architecture, model, output_stride)
    head_name = config.get("classifier")
    is_pooled_head = isinstance(head_name, str) and {key.rpartition(".")[0] for key in unused} == {head_name}
    return measure_backbone(
        architecture,
        ForwardFeatures(model),
        prefix="model.",
        head_name=head_name if is_pooled_head else None,
        mean=config.get("mean", IMAGENET_MEAN),
        std=config.get("std", IMAGENET_STD),
        input_size=config.get("input_size", (3, 224, 224))[1:],
        output_stride=output_stride,
    )


def _transformer(architecture: str, output_stride: int | None) -> Backbone:
    """A vision transformer for images of any size, its position embeddings interpolated, without its own head."""
    try:
        model: Any = timm.create_model(
            architecture.removeprefix("timm/"), num_classes=0, dynamic_img_size=True, dynamic_img_pad=True
        )
    except TypeError as error:  # families for one size
        raise no_feature_map(architecture) from error
    patch = model.patch_embed.patch_size[0]
    if patch not in OUTPUT_STRIDES or not hasattr(model, "fc_norm"):
        raise ModelError(f"{architecture} has patches of {patch} pixels, and 8, 16 or 32 are needed: take another one")
    model.fc_norm, model.attn_pool = nn.Identity(), None  # behind the pooling
    config = model.pretrained_cfg
    return measure_backbone(
        architecture,
        TokenFeatures(model),
        prefix="model.",
        head_name=None,
        mean=config.get("mean", IMAGENET_MEAN),
        std=config.get("std", IMAGENET_STD),
        input_size=config.get("input_size", (3, 224, 224))[1:],
        output_stride=output_stride,
    )


def timm_weights(architecture: str, weights: str) -> tuple[dict[str, Tensor], str]:
    """timm's pretrained tensors, from its cache or downloaded; it names its sets by the tag."""
    if weights != "default":
        raise SettingsError(
            f"backbone.weights '{weights}' is neither a file nor 'default': timm names its sets in the architecture, "
            f"such as timm/resnet50.tv_in1k"
        )
    try:
        model: Any = timm.create_model(architecture.removeprefix("timm/"), pretrained=True)
    except Exception as error:  # network failures come in many types
        raise cannot_fetch(architecture, error) from error
    return model.state_dict(), f"timm's {model.pretrained_cfg['architecture']}.{model.pretrained_cfg['tag']}"


def _with_output_stride(architecture: str, model: nn.Module, output_stride: int) -> nn.Module:
    """timm's own network of that stride, or for families without the option the present one dilated."""
    try:
        finer: nn.Module = timm.create_model(
            architecture.removeprefix("timm/"), pretrained=False, output_stride=output_stride
        )
        _remove_unused(architecture, finer)
        return finer
    except Exception:  # each family refuses in its own way
        try:
            dilate(ForwardFeatures(model), output_stride)
        except ModelError as error:
            raise stride_out_of_reach(architecture, output_stride, error) from None
        return model


def _remove_unused(architecture: str, model: nn.Module) -> list[str]:
    """Takes out the children that the feature map does not pass through; returns the names of their tensors."""
    features, used = ForwardFeatures(model), set()
    try:
        with recording(model, lambda name, *_: used.add(name.partition(".")[0])), probing(features):
            grid = features(probe_image(features, 96, 96))
    except Exception as error:  # each network refuses a size in its own way
        raise no_feature_map(architecture) from error
    if grid.ndim != 4 or grid.shape[1] != features.model.num_features:  # tokens, or channels last
        raise no_feature_map(architecture)
    # Only what has weights: a list of empty parts may be read without being run.
    unused = [(name, child) for name, child in model.named_children() if name not in used and child.state_dict()]
    for name, _ in unused:
        setattr(model, name, nn.Identity())
    return [f"{name}.{key}" for name, child in unused for key in child.state_dict()]
