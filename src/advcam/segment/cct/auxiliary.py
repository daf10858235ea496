"""CCT's auxiliary decoders: each decodes the features after a perturbation of its kind, drawn anew each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

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


# Features as one kind of auxiliary decoder gets them. Random numbers are torch's global ones; gradients pass through
# the features, not through what is drawn or predicted.


def vat(features: Tensor, prediction: Prediction, decoder: nn.Module, settings: CCTSettings) -> Tensor:
    """I-VAT: displaced to where the decoder's own prediction changes most."""
    noise = torch.rand_like(features) - 0.5
    return features + perturb.adversarial(decoder, features, noise, settings.vat_xi, settings.vat_size)


def drop_out(features: Tensor, prediction: Prediction, decoder: nn.Module, settings: CCTSettings) -> Tensor:
    """Spatial dropout."""
    kept = torch.rand(features.shape[:2], device=features.device) >= settings.drop_rate
    return perturb.drop_channels(features, kept, settings.drop_rate)


def cut_out(features: Tensor, prediction: Prediction, decoder: nn.Module, settings: CCTSettings) -> Tensor:
    """G-Cutout: a rectangle is cut out of each object."""
    rectangles = [[perturb.cut(one, settings.cut_share, _whole_number) for one in of] for of in prediction.outlines]
    height, width = prediction.labels.shape[1:]
    pixels = perturb.without((height, width), rectangles)
    return perturb.keep(features, perturb.on_cells(pixels, prediction.cells).to(features.device))


def context_mask(features: Tensor, prediction: Prediction, decoder: nn.Module, settings: CCTSettings) -> Tensor:
    """Con-Msk: the objects alone."""
    return perturb.keep(features, prediction.objects)


def object_mask(features: Tensor, prediction: Prediction, decoder: nn.Module, settings: CCTSettings) -> Tensor:
    """Obj-Msk: what is around the objects."""
    return perturb.keep(features, ~prediction.objects)


def feature_drop(features: Tensor, prediction: Prediction, decoder: nn.Module, settings: CCTSettings) -> Tensor:
    """F-Drop: the strongest cells go."""
    return perturb.drop_strong(features, float(torch.empty(()).uniform_(*settings.drop_strong)))


def feature_noise(features: Tensor, prediction: Prediction, decoder: nn.Module, settings: CCTSettings) -> Tensor:
    """F-Noise: noise in proportion to the features."""
    return perturb.add_noise(features, torch.empty_like(features[0]).uniform_(-settings.noise, settings.noise))


Perturbation = Callable[[Tensor, Prediction, nn.Module, CCTSettings], Tensor]
# In the program's order; under each name the settings have the number of its decoders.
PERTURBATIONS: dict[str, Perturbation] = {
    function.__name__: function
    for function in (vat, drop_out, cut_out, context_mask, object_mask, feature_drop, feature_noise)
}


class AuxiliaryDecoder(nn.Module):
    """One decoder and the perturbation before it."""

    def __init__(self, perturbation: Perturbation, decoder: Decoder, settings: CCTSettings) -> None:
        super().__init__()
        self.perturbation, self.upsample, self.settings = perturbation, decoder, settings

    def perturbed(self, features: Float[Tensor, "n C h w"], prediction: Prediction) -> Float[Tensor, "n C h w"]:
        """The features that are decoded."""
        return self.perturbation(features, prediction, self.upsample, self.settings)


def auxiliary_decoders(channels: int, num_labels: int, stride: int, settings: CCTSettings) -> nn.ModuleList:
    """The decoders that the settings ask for, in the program's order of kinds.

    >>> decoders = auxiliary_decoders(512, 21, 8, CCTSettings())
    >>> len(decoders), sum(p.numel() for p in decoders.parameters()) == 30 * 16296
    (30, True)
    """
    return nn.ModuleList(
        AuxiliaryDecoder(perturbation, Decoder(channels, num_labels, stride), settings)
        for name, perturbation in PERTURBATIONS.items()
        for _ in range(getattr(settings, name))
    )


def _whole_number(greatest: int) -> int:
    return int(torch.randint(0, greatest + 1, ()))
