"""Networks whose last layers look at their own cell only."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from advcam.errors import SettingsError
from advcam.models import BackboneSettings, build_classifier
from advcam.models.architectures import build_backbone


def seen_by_a_cell(name: str, side: int = 160) -> int:
    """Rows of the image that move the middle cell of the map."""
    torch.manual_seed(0)
    features = build_backbone(name, 16).features.double().eval()
    image = torch.randn(1, 3, side, side, dtype=torch.float64).requires_grad_()
    grid = features(image)
    middle = grid[0, :, grid.shape[2] // 2, grid.shape[3] // 2].square().sum()
    (gradient,) = torch.autograd.grad(middle, image)
    rows = gradient.abs().amax(dim=(0, 1, 3)).nonzero().flatten()
    return int(rows[-1] - rows[0]) + 1


@pytest.mark.parametrize(
    ("name", "layer", "cut"),
    [
        ("timm/test_resnet", "layer4", "layer3"),
        ("torchvision/mobilenet_v2", "features.11", "features.10"),
    ],
)
def test_a_cell_sees_what_it_saw_before_the_layer(name: str, layer: str, cut: str) -> None:
    assert seen_by_a_cell(f"{name}@local:{layer}") <= seen_by_a_cell(f"{name}@{cut}") + 16
    whole, local = build_backbone(name, 16), build_backbone(f"{name}@local:{layer}", 16)
    assert (local.channels, local.output_stride, local.head_name) == (whole.channels, 16, whole.head_name)
    for size in ((65, 97), (64, 96)):
        image = torch.zeros(1, 3, *size)
        assert local.features.eval()(image).shape == whole.features.eval()(image).shape


def test_an_even_map_keeps_its_values_where_kernels_are_summed(tmp_path) -> None:
    torch.manual_seed(0)
    whole = build_classifier(BackboneSettings("torchvision/resnet18", weights=None), 5).eval()
    path = tmp_path / "whole.safetensors"
    save_file({f"net.{key}": value.clone() for key, value in whole.library_state_dict().items()}, path)
    settings = BackboneSettings(
        "torchvision/resnet18@local:layer4", weights=str(path), mean=(0.5,) * 3, std=(0.5,) * 3, output_stride=32
    )
    local = build_classifier(settings, 5).eval()
    name = "layer4.1.conv2.weight"
    ours, theirs = local.library_state_dict()[name], whole.library_state_dict()[name]
    assert torch.equal(ours, theirs.sum(dim=(2, 3), keepdim=True))
    assert torch.equal(local.head.weight, whole.head.weight)
    # Its own file is read back as it is.
    save_file({key: value.clone() for key, value in local.library_state_dict().items()}, path)
    again = build_classifier(settings, 5)
    assert torch.equal(again.library_state_dict()[name], ours)


def test_a_layer_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(SettingsError, match="layer1, layer2, layer3, layer4"):
        build_backbone("resnet18@local:layer9")
