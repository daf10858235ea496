"""torchvision's classification networks, cut behind their last feature map, and their pretrained weights."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torchvision
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights

from advcam.errors import ModelError, SettingsError
from advcam.models.backbone import Backbone, measure_backbone, no_feature_map, stride_out_of_reach
from advcam.models.strides import dilate, output_stride_of

IRN_RESNET50 = "irn_resnet50"

# Per class of network: the children in the order they run up to the last feature map, and the name of the linear
# head over that map's mean (None where the library's head is anything else).
_CHAINS: dict[str, tuple[str, str | None]] = {
    "AlexNet": ("features", None),
    "ConvNeXt": ("features", None),
    "DenseNet": ("features", "classifier"),
    "EfficientNet": ("features", "classifier.1"),
    "GoogLeNet": (
        "conv1 maxpool1 conv2 conv3 maxpool2 inception3a inception3b maxpool3 inception4a inception4b inception4c "
        "inception4d inception4e maxpool4 inception5a inception5b",
        "fc",
    ),
    "Inception3": (
        "Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 maxpool1 Conv2d_3b_1x1 Conv2d_4a_3x3 maxpool2 Mixed_5b Mixed_5c "
        "Mixed_5d Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e Mixed_7a Mixed_7b Mixed_7c",
        "fc",
    ),
    "MNASNet": ("layers", "classifier.1"),
    "MobileNetV2": ("features", "classifier.1"),
    "MobileNetV3": ("features", None),
    "RegNet": ("stem trunk_output", "fc"),
    "ResNet": ("conv1 bn1 relu maxpool layer1 layer2 layer3 layer4", "fc"),
    "ShuffleNetV2": ("conv1 maxpool stage2 stage3 stage4 conv5", "fc"),
    "SqueezeNet": ("features", None),
    "SwinTransformer": ("features norm permute", "head"),
    "VGG": ("features", None),
}
# With pretrained weights torchvision's own forward brings ImageNet-normalised input into [-1, 1] before these two; a
# mean and a deviation of 0.5 say the same without a step in between.
_CENTRED = ("GoogLeNet", "Inception3")


def torchvision_names() -> list[str]:
    """The names of all classification networks."""
    return torchvision.models.list_models(module=torchvision.models)


def torchvision_backbone(architecture: str, output_stride: int | None) -> Backbone:
    """``torchvision/NAME``, or the IRN program's variant of its ResNet-50; an output stride by dilation.

    >>> torchvision_backbone("irn_resnet50", None).output_stride
    16
    """
    name = _plain_name(architecture)
    # Their defaults warn and build heads that only training from scratch needs.
    extra = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
    model = torchvision.models.get_model_builder(name)(weights=None, **extra)
    kind = type(model).__name__
    if kind not in _CHAINS:
        raise no_feature_map(architecture)
    children, head_name = _CHAINS[kind]
    chain = OrderedDict((child, getattr(model, child)) for child in children.split())
    if kind == "DenseNet":
        chain["relu"] = nn.ReLU(inplace=True)  # torchvision has it in forward
    features = nn.Sequential(chain)
    if architecture == IRN_RESNET50:
        _keep_resolution_of_layer4(features)
    if output_stride not in (None, output_stride_of(features)):
        _change_stride(architecture, features, output_stride)
    preset = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    return measure_backbone(
        architecture,
        features,
        prefix="",
        head_name=head_name,
        mean=(0.5, 0.5, 0.5) if kind in _CENTRED else preset.mean,
        std=(0.5, 0.5, 0.5) if kind in _CENTRED else preset.std,
        input_size=(preset.crop_size[0], preset.crop_size[0]),
        output_stride=output_stride,
    )


def torchvision_weights(architecture: str, weights: str) -> tuple[dict[str, Tensor], str]:
    """torchvision's pretrained tensors, ``default`` or of a set such as ``IMAGENET1K_V1``."""
    name = _plain_name(architecture)
    sets = torchvision.models.get_model_weights(name)
    if weights.upper() not in sets.__members__:
        known = ", ".join(entry.name for entry in sets)
        raise SettingsError(
            f"backbone.weights '{weights}' is neither a file nor a set of {architecture}: use default or {known}"
        )
    entry = sets[weights.upper()]
    if architecture == IRN_RESNET50 and weights.upper() == "DEFAULT":
        entry = ResNet50_Weights.IMAGENET1K_V1
    try:
        tensors = dict(entry.get_state_dict(progress=False, check_hash=True))
    except Exception as error:  # network failures come in many types
        raise cannot_fetch(architecture, error) from error
    return tensors, f"torchvision's {name} {entry.name}"


def cannot_fetch(architecture: str, error: Exception) -> ModelError:
    """The one sentence for pretrained weights that are neither cached nor to be had."""
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    return ModelError(
        f"the pretrained weights of {architecture} are not in the cache and cannot be downloaded ({reason}): connect "
        f"once, or name a file with backbone.weights"
    )


def _plain_name(architecture: str) -> str:
    return "resnet50" if architecture == IRN_RESNET50 else architecture.removeprefix("torchvision/")


def _keep_resolution_of_layer4(features: nn.Sequential) -> None:
    """The IRN program's ResNet-50: stride 1 in the last group of blocks, and nothing dilated."""
    for name in ("layer4.0.conv2", "layer4.0.downsample.0"):
        layer: Any = features.get_submodule(name)
        layer.stride = (1, 1)


def _change_stride(architecture: str, features: nn.Module, output_stride: int) -> None:
    if architecture == IRN_RESNET50:
        raise ModelError(
            f"{IRN_RESNET50} has an output stride of 16, not {output_stride}: leave backbone.output_stride out or "
            f"take torchvision/resnet50"
        )
    try:
        dilate(features, output_stride)
    except ModelError as error:
        raise stride_out_of_reach(architecture, output_stride, error) from None
