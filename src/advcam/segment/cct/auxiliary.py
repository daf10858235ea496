"""CCT's auxiliary decoders: each decodes the features after a perturbation of its kind, drawn anew each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from advcam.segment.cct import perturbations as perturb
from advcam.segment.cct.decoder import Decoder
from advcam.segment.cct.outlines import Outline
from advcam.segment.cct.settings import CCTSettings


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


@runtime_checkable
class Perturbation(Protocol):
    """Features as one kind of auxiliary decoder gets them. Random numbers are torch's global ones."""

    def __call__(self, features: Tensor, prediction: Prediction, decoder: nn.Module) -> Tensor:
        """The features after it; gradients pass through it, not through what is drawn or predicted."""
        ...


@dataclass(frozen=True)
class Vat:
    """I-VAT: displaced to where the decoder's own prediction changes most."""

    xi: float
    size: float

    def __call__(self, features: Tensor, prediction: Prediction, decoder: nn.Module) -> Tensor:
        noise = torch.rand_like(features) - 0.5
        return features + perturb.adversarial(decoder, features, noise, self.xi, self.size)


@dataclass(frozen=True)
class DropOut:
    """Spatial dropout."""

    rate: float

    def __call__(self, features: Tensor, prediction: Prediction, decoder: nn.Module) -> Tensor:
        kept = torch.rand(features.shape[:2], device=features.device) >= self.rate
        return perturb.drop_channels(features, kept, self.rate)


@dataclass(frozen=True)
class CutOut:
    """G-Cutout: a rectangle is cut out of each object."""

    share: float

    def __call__(self, features: Tensor, prediction: Prediction, decoder: nn.Module) -> Tensor:
        rectangles = [
            [perturb.cut(outline, self.share, _whole_number) for outline in image] for image in prediction.outlines
        ]
        height, width = prediction.labels.shape[1:]
        pixels = perturb.without((height, width), rectangles)
        return perturb.keep(features, perturb.on_cells(pixels, prediction.cells).to(features.device))


@dataclass(frozen=True)
class Masked:
    """Con-Msk keeps the objects alone, Obj-Msk what is around them."""

    objects: bool

    def __call__(self, features: Tensor, prediction: Prediction, decoder: nn.Module) -> Tensor:
        return perturb.keep(features, prediction.objects if self.objects else ~prediction.objects)


@dataclass(frozen=True)
class FeatureDrop:
    """F-Drop: the strongest cells go."""

    strong: tuple[float, float]

    def __call__(self, features: Tensor, prediction: Prediction, decoder: nn.Module) -> Tensor:
        return perturb.drop_strong(features, float(torch.empty(()).uniform_(*self.strong)))


@dataclass(frozen=True)
class FeatureNoise:
    """F-Noise: noise in proportion to the features."""

    width: float

    def __call__(self, features: Tensor, prediction: Prediction, decoder: nn.Module) -> Tensor:
        return perturb.add_noise(features, torch.empty_like(features[0]).uniform_(-self.width, self.width))


# In the program's order; under each name the settings have the number of its decoders.
PERTURBATIONS: dict[str, Callable[[CCTSettings], Perturbation]] = {
    "vat": lambda settings: Vat(settings.vat_xi, settings.vat_size),
    "drop_out": lambda settings: DropOut(settings.drop_rate),
    "cut_out": lambda settings: CutOut(settings.cut_share),
    "context_mask": lambda settings: Masked(objects=True),
    "object_mask": lambda settings: Masked(objects=False),
    "feature_drop": lambda settings: FeatureDrop(settings.drop_strong),
    "feature_noise": lambda settings: FeatureNoise(settings.noise),
}


class AuxiliaryDecoder(nn.Module):
    """One decoder and the perturbation before it."""

    def __init__(self, perturbation: Perturbation, decoder: Decoder) -> None:
        super().__init__()
        self.perturbation = perturbation
        self.upsample = decoder

    def forward(self, features: Float[Tensor, "n C h w"], prediction: Prediction) -> Float[Tensor, "n K H W"]:
        return self.upsample(self.perturbed(features, prediction))

    def perturbed(self, features: Float[Tensor, "n C h w"], prediction: Prediction) -> Float[Tensor, "n C h w"]:
        """The features that are decoded."""
        return self.perturbation(features, prediction, self.upsample)


def auxiliary_decoders(channels: int, num_labels: int, stride: int, settings: CCTSettings) -> nn.ModuleList:
    """The decoders that the settings ask for, in the program's order of kinds.

    >>> decoders = auxiliary_decoders(512, 21, 8, CCTSettings())
    >>> len(decoders), sum(p.numel() for p in decoders.parameters()) == 30 * 16296
    (30, True)
    """
    return nn.ModuleList(
        AuxiliaryDecoder(perturbation(settings), Decoder(channels, num_labels, stride))
        for name, perturbation in PERTURBATIONS.items()
        for _ in range(getattr(settings, name))
    )


def _whole_number(greatest: int) -> int:
    return int(torch.randint(0, greatest + 1, ()))
