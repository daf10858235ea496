"""Networks that end behind one of their layers."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from advcam.errors import SettingsError
from advcam.models import BackboneSettings, build_classifier
from advcam.models.architectures import build_backbone, find_architecture


@pytest.mark.parametrize(
    ("name", "layer", "channels"),
    [
        ("torchvision/resnet18", "layer3", 256),
        ("torchvision/mobilenet_v2", "features.13", 96),
        ("timm/test_resnet", "layer3", 192),
    ],
)
def test_the_map_is_that_of_the_layer(name: str, layer: str, channels: int) -> None:
    torch.manual_seed(0)
    whole, part = build_backbone(name), build_backbone(f"{name}@{layer}")
    kept = {key.removeprefix("trunk."): value for key, value in part.features.state_dict().items()}
    missing, surplus = whole.features.load_state_dict(kept, strict=False)
    assert missing
    assert not surplus
    seen = []
    inside = whole.features.get_submodule(whole.prefix + layer)
    inside.register_forward_hook(lambda *args: seen.append(args[2]))
    whole.features.eval()
    part.features.eval()
    image = torch.randn(1, 3, 96, 64)
    whole.features(image)
    assert (part.channels, part.output_stride) == (channels, 16)
    assert torch.equal(part.features(image), seen[0])


def test_a_file_of_the_whole_network_serves(tmp_path) -> None:
    torch.manual_seed(0)
    whole = build_classifier(BackboneSettings("timm/tf_efficientnet_lite0", weights=None), 7)
    state = {f"net.{key.removeprefix('backbone.model.')}": value for key, value in whole.state_dict().items()}
    path = tmp_path / "whole.safetensors"
    save_file({key.replace("net.head.", "net.classifier."): value.contiguous() for key, value in state.items()}, path)
    settings = BackboneSettings(
        "timm/tf_efficientnet_lite0@blocks.4", weights=str(path), mean=(0.5,) * 3, std=(0.5,) * 3
    )
    part = build_classifier(settings, 3)
    first = next(key for key in part.state_dict() if key.endswith("conv_stem.weight"))
    assert torch.equal(part.state_dict()[first], state["net.conv_stem.weight"])
    assert part.head.in_features == 112


def test_a_layer_that_is_not_there_names_those_that_are() -> None:
    assert find_architecture("resnet18@layer2") == "torchvision/resnet18@layer2"
    with pytest.raises(SettingsError, match="layer1, layer2, layer3, layer4"):
        build_backbone("resnet18@layer9")
