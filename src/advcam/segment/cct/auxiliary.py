"""CCT's auxiliary decoders: each decodes the features after a perturbation of its kind, drawn anew each time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from advcam.segment.cct import perturbations as perturb
from advcam.segment.cct.decoder import Decoder
from advcam.segment.cct.outlines import Outline
from advcam.segment.cct.settings import CCTSettings

Kind = Literal["vat", "drop_out", "cut_out", "context_mask", "object_mask", "feature_drop", "feature_noise"]
KINDS: tuple[Kind, ...] = (
    "vat", "drop_out", "cut_out", "context_mask", "object_mask", "feature_drop", "feature_noise",
)  # fmt: skip


@dataclass(frozen=True)
class Prediction:
    """What the main decoder says of a batch, for the perturbations that look at it.

    Attributes:
        labels: at the resolution of the logits, 0 for background.
        cells: height and width of the features.
    """

    labels: Int64[Tensor, "n H W"]
    cells: tuple[int, int]

    @cached_property
    def objects(self) -> Bool[Tensor, "n 1 h w"]:
        """The cells that are not background."""
        return perturb.on_cells(self.labels > 0, self.cells)

    @cached_property
    def outlines(self) -> list[list[Outline]]:
        """The outlines from which rectangles are cut, of each image."""
        return perturb.cuttable((self.labels > 0).cpu().numpy())


class AuxiliaryDecoder(nn.Module):
    """One decoder and the kind of perturbation before it. Random numbers are torch's global ones."""

    def __init__(self, kind: Kind, decoder: Decoder, settings: CCTSettings) -> None:
        super().__init__()
        self.kind, self.settings = kind, settings
        self.upsample = decoder

    def forward(self, features: Float[Tensor, "n C h w"], prediction: Prediction) -> Float[Tensor, "n K H W"]:
        return self.upsample(self.perturbed(features, prediction))

    def perturbed(self, features: Float[Tensor, "n C h w"], prediction: Prediction) -> Float[Tensor, "n C h w"]:
        """The features after the perturbation; gradients pass through it, not through what is drawn or predicted."""
        settings = self.settings
        if self.kind == "vat":
            noise = torch.rand_like(features) - 0.5
            return features + perturb.adversarial(self.upsample, features, noise, settings.vat_xi, settings.vat_size)
        if self.kind == "drop_out":
            kept = torch.rand(features.shape[:2], device=features.device) >= settings.drop_rate
            return perturb.drop_channels(features, kept, settings.drop_rate)
        if self.kind == "cut_out":
            rectangles = [
                [perturb.cut(outline, settings.cut_share, _whole_number) for outline in image]
                for image in prediction.outlines
            ]
            height, width = prediction.labels.shape[1:]
            pixels = perturb.without((height, width), rectangles)
            return perturb.keep(features, perturb.on_cells(pixels, prediction.cells).to(features.device))
        if self.kind == "context_mask":
            return perturb.keep(features, prediction.objects)
        if self.kind == "object_mask":
            return perturb.keep(features, ~prediction.objects)
        if self.kind == "feature_drop":
            return perturb.drop_strong(features, float(torch.empty(()).uniform_(*settings.drop_strong)))
        noise = torch.empty_like(features[0]).uniform_(-settings.noise, settings.noise)
        return perturb.add_noise(features, noise)


def auxiliary_decoders(channels: int, num_labels: int, stride: int, settings: CCTSettings) -> nn.ModuleList:
    """The decoders that the settings ask for, in the program's order of kinds.

    >>> decoders = auxiliary_decoders(512, 21, 8, CCTSettings())
    >>> len(decoders), sum(p.numel() for p in decoders.parameters()) == 30 * 16296
    (30, True)
    """
    return nn.ModuleList(
        AuxiliaryDecoder(kind, Decoder(channels, num_labels, stride), settings) for kind in _kinds(settings)
    )


def _kinds(settings: CCTSettings) -> Iterator[Kind]:
    for kind in KINDS:
        for _ in range(getattr(settings, kind)):
            yield kind


def _whole_number(greatest: int) -> int:
    return int(torch.randint(0, greatest + 1, ()))
