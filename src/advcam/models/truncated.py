"""A network up to one of its layers: cells that see less of the image, and a narrower class activation map."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from timm.models import get_notrace_functions, get_notrace_modules
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from advcam.errors import ModelError, SettingsError
from advcam.models.backbone import Backbone, measure_backbone

# Between the name of a network and that of its last layer, as in ``timm/resnet18@layer3``.
MARK = "@"


class TruncatedFeatures(nn.Module):
    """The layers of a network up to one of them; those behind it are not there."""

    def __init__(self, features: nn.Module, layer: str) -> None:
        super().__init__()
        with warnings.catch_warnings():
            # fx tells of attributes that no layer kept uses.
            warnings.simplefilter("ignore")
            self.trunk = create_feature_extractor(features, {layer: "map"}, tracer_kwargs=_tracing())

    def forward(self, images: Float[Tensor, "n _ H W"]) -> Float[Tensor, "n C h w"]:
        return self.trunk(images)["map"]


def truncated(backbone: Backbone, layer: str) -> Backbone:
    """The backbone up to ``layer``, in the library's name for it; no library has a head for it.

    What a cell sees shrinks with every layer left out. Where it is much less than the object, the map of a class is
    high on telling parts alone and climbing has something to add (docs/climbing.md).

    >>> from advcam.models.architectures import build_backbone
    >>> whole, part = build_backbone("timm/test_resnet"), build_backbone("timm/test_resnet@layer3")
    >>> whole.channels, whole.output_stride, part.channels, part.output_stride
    (96, 32, 192, 16)
    """
    name = f"{backbone.architecture}{MARK}{layer}"
    try:
        nodes, _ = get_graph_node_names(backbone.features, tracer_kwargs=_tracing())
    except Exception as error:  # fx refuses in its own ways
        raise ModelError(f"{backbone.architecture} cannot be cut at a layer: take the whole network") from error
    inside = backbone.prefix + layer
    if not any(node == inside or node.startswith(f"{inside}.") for node in nodes):
        lead = len(backbone.prefix)
        there = dict.fromkeys(node[lead:].partition(".")[0] for node in nodes[1:] if node.startswith(backbone.prefix))
        raise SettingsError(
            f"{backbone.architecture} has no layer '{layer}': name one of {', '.join(there)}, or of theirs"
        )
    return measure_backbone(
        name,
        TruncatedFeatures(backbone.features, inside),
        prefix=f"trunk.{backbone.prefix}",
        head_name=None,
        mean=backbone.mean,
        std=backbone.std,
        input_size=backbone.input_size,
    )


def without_left_out(
    whole: Backbone, expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """A file's tensors without those of the layers behind the cut, under whatever names precede the library's."""
    kept = list(expected)
    left_out = {key.removeprefix(whole.prefix) for key in whole.features.state_dict()}.difference(kept)
    lead = next((key.removesuffix(kept[0]) for key in tensors if f".{key}".endswith(f".{kept[0]}")), "")
    return {key: value for key, value in tensors.items() if key.removeprefix(lead) not in left_out}


def _tracing() -> dict[str, Any]:
    # What timm registers as not to be followed: padding that depends on the size of the input, for one.
    return {"leaf_modules": get_notrace_modules(), "autowrap_functions": get_notrace_functions()}
