"""AffinityNet: features whose distance says how alike two cells are."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from advcam.models.architectures import own_names
from advcam.models.backbone import Backbone
from advcam.models.ranges import bilinear
from advcam.models.taps import deep_taps
from advcam.models.weights import fit_weights
from advcam.refine.psa_settings import STRIDE

# Channels behind the convolutions of the three maps.
WIDTHS = (64, 128, 256)

_TAPS = "taps.features."


class AffinityNet(nn.Module):
    """Three maps of a backbone, each through a 1 x 1 convolution and ELU, joined by one more: 448 channels.

    Of ResNet-38 the three maps are those of PSA's program. Of any other backbone they are the last three that
    ``models.tapped`` finds. Maps of another stride than 8 are brought to the grid of one cell for 8 pixels behind
    their convolution, bilinearly.

    Args:
        backbone: whose modules become this network's.

    Raises:
        ModelError: the backbone has fewer than three maps.

    >>> from advcam.models.architectures import build_backbone
    >>> AffinityNet(build_backbone("mobilenet_v2"))(torch.zeros(1, 3, 64, 96)).shape
    torch.Size([1, 448, 8, 12])
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.architecture, self.output_stride = backbone.architecture, backbone.output_stride
        self.mean, self.std = backbone.mean, backbone.std
        self._prefix = backbone.prefix
        self.taps = deep_taps(backbone)
        channels = self.taps.channels[-3:]
        self.f8_3, self.f8_4, self.f8_5 = (
            nn.Conv2d(before, after, 1, bias=False) for before, after in zip(channels, WIDTHS, strict=True)
        )
        self.f9 = nn.Conv2d(sum(WIDTHS), sum(WIDTHS), 1, bias=False)
        for layer in (self.f8_3, self.f8_4, self.f8_5):
            nn.init.kaiming_normal_(layer.weight)
        nn.init.xavier_uniform_(self.f9.weight, gain=4)

    def forward(self, images: Float[Tensor, "n 3 H W"]) -> Float[Tensor, "n d h w"]:
        """The 448 features, of images normalised by ``mean`` and ``std``; h and w are H and W by 8, rounded up."""
        grid = tuple(math.ceil(side / STRIDE) for side in images.shape[-2:])
        layers = (self.f8_3, self.f8_4, self.f8_5)
        branches = [bilinear(layer(x), grid) for layer, x in zip(layers, self.taps(images)[-3:], strict=True)]
        return functional.elu(self.f9(functional.elu(torch.cat(branches, dim=1))))

    @property
    def backbone(self) -> nn.Module:
        """What stands below, without the new layers."""
        return self.taps.features

    def new_parameters(self) -> list[nn.Parameter]:
        """Those that no backbone brings, which learn faster in PSA's program."""
        return [*self.f8_3.parameters(), *self.f8_4.parameters(), *self.f8_5.parameters(), *self.f9.parameters()]

    def published_state_dict(self) -> dict[str, Tensor]:
        """All tensors, the backbone's under its library's own names: with ResNet-38, those of PSA's program."""
        tensors = {}
        for key, value in self.state_dict().items():
            inside = key.startswith(_TAPS)
            tensors[key.removeprefix(_TAPS).removeprefix(self._prefix) if inside else key] = value
        return tensors

    def load_published_state_dict(self, tensors: Mapping[str, Tensor], source: str) -> None:
        """Take over a whole AffinityNet under the names of ``published_state_dict``, with or without a common prefix.

        Raises:
            ModelError: tensors are missing or of another shape.
        """
        expected = self.published_state_dict()
        named = own_names(self.architecture, tensors, expected)
        fitted = fit_weights(expected, named, [], 0, source=source, architecture=self.architecture)
        with torch.no_grad():
            for key, value in fitted.backbone.items():
                expected[key].copy_(value)
