"""The perturbations of CCT's features: pure functions, to which what is random in them is given.

Source: the CCT paper, section 3.2, and its program. Shape suffixes: n images, C channels, h w cells of the features,
H W pixels of the prediction, K labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from advcam.models.ranges import at_least_single
from advcam.segment.cct.outlines import Outline, outlines

MIN_CORNERS = 51
"""Outlines with fewer are not cut."""
_SMALL = 1e-8


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Pixels ``top <= row < bottom`` and ``left <= column < right``."""

    top: int
    bottom: int
    left: int
    right: int


def drop_strong(features_nChw: Float[Tensor, "n C h w"], fraction: float) -> Float[Tensor, "n C h w"]:
    """F-Drop: cells whose mean over the channels reaches ``fraction`` of the image's greatest become 0.

    >>> drop_strong(torch.tensor([1.0, 3.0, 4.0]).reshape(1, 1, 1, 3), 0.75).flatten().tolist()
    [1.0, 0.0, 0.0]
    """
    mean_n1hw = features_nChw.mean(dim=1, keepdim=True)
    return features_nChw * (mean_n1hw < fraction * mean_n1hw.amax(dim=(2, 3), keepdim=True))


def add_noise(features_nChw: Float[Tensor, "n C h w"], noise_Chw: Float[Tensor, "C h w"]) -> Float[Tensor, "n C h w"]:
    """F-Noise: noise in proportion to the features, the same for all images of a batch."""
    return features_nChw + features_nChw * noise_Chw


def drop_channels(
    features_nChw: Float[Tensor, "n C h w"], kept_nC: Bool[Tensor, "n C"], rate: float
) -> Float[Tensor, "n C h w"]:
    """DropOut: whole channels become 0, with probability ``rate``, and the others are enlarged to make up for it."""
    return features_nChw * (kept_nC / (1 - rate)).to(features_nChw.dtype)[:, :, None, None]


def on_cells(pixels_nHW: Bool[Tensor, "n H W"], size: tuple[int, int]) -> Bool[Tensor, "n 1 h w"]:
    """Pixels reduced to the cells of the features, each cell having the pixel at its upper left corner (nearest)."""
    return F.interpolate(pixels_nHW[:, None].to(torch.uint8), size, mode="nearest").bool()


def keep(features_nChw: Float[Tensor, "n C h w"], cells_n1hw: Bool[Tensor, "n 1 h w"]) -> Float[Tensor, "n C h w"]:
    """Only some cells: the objects for Con-Msk (which takes their context away), all others for Obj-Msk."""
    return features_nChw * cells_n1hw


def cuttable(foreground_nHW: Bool[np.ndarray, "n H W"]) -> list[list[Outline]]:
    """For each image of a batch the outlines that CutOut works on: those of more than 50 corners."""
    return [[one for one in outlines(image) if one.corners >= MIN_CORNERS] for image in foreground_nHW]


def cut(outline: Outline, erase: float, draw: Callable[[int], int]) -> Rectangle:
    """G-Cutout's rectangle: ``erase`` of an outline's extent along each axis, anywhere inside.

    Args:
        erase: 0.4 in the paper.
        draw: a whole number from 0 to its argument, both included; asked for the column, then for the row.
    """
    high, wide = outline.bottom - outline.top, outline.right - outline.left
    left = outline.left + draw(int(wide * (1 - erase)))
    top = outline.top + draw(int(high * (1 - erase)))
    return Rectangle(top, top + int(high * erase), left, left + int(wide * erase))


def without(size: tuple[int, int], rectangles: Sequence[Sequence[Rectangle]]) -> Bool[Tensor, "n H W"]:
    """True on all pixels of each image but those in its rectangles.

    >>> without((2, 4), [[Rectangle(0, 1, 1, 3)]]).int().tolist()
    [[[1, 0, 0, 1], [1, 1, 1, 1]]]
    """
    pixels_nHW = torch.ones(len(rectangles), *size, dtype=torch.bool)
    for image, cuts in zip(pixels_nHW, rectangles, strict=True):
        for one in cuts:
            image[one.top : one.bottom, one.left : one.right] = False
    return pixels_nHW


def adversarial(
    decoder: Callable[[Tensor], Tensor],
    features_nChw: Float[Tensor, "n C h w"],
    noise_nChw: Float[Tensor, "n C h w"],
    xi: float,
    size: float,
) -> Float[Tensor, "n C h w"]:
    """I-VAT: the displacement, of length ``size`` per image, that changes a decoder's prediction most.

    One step of power iteration: ``d0`` is the noise at length 1, ``g`` the gradient at ``d0`` of the divergence
    between the predictions at ``z`` and at ``z + xi d0`` (KL, summed over labels and pixels, mean over images), and
    the result ``size g / (|g| + 1e-8)``.

    The published program has ``xi = 1e-6``. ``g`` is of the order of ``xi^2`` there, below the 1e-8 beside it and
    below the rounding of single precision: the displacement almost vanishes, and where it points is chance. With
    ``xi = 0.1`` it has its length, and single and double precision agree.

    Args:
        decoder: from features to logits; no gradient reaches its parameters.
        noise_nChw: uniform in -0.5 to 0.5.
        xi: how far away the gradient is taken.
        size: 2 in the program.
    """
    z, d0 = at_least_single(features_nChw.detach()), _unit(at_least_single(noise_nChw)).requires_grad_()
    with torch.autocast(z.device.type, enabled=False):
        with torch.no_grad():
            p = decoder(z).softmax(dim=1)
        with torch.enable_grad():
            divergence = F.kl_div(decoder(z + xi * d0).log_softmax(dim=1), p, reduction="batchmean")
            (gradient,) = torch.autograd.grad(divergence, d0)
    return (size * _unit(gradient)).to(features_nChw.dtype)


def _unit(values_nChw: Tensor) -> Tensor:
    return values_nChw / (values_nChw.flatten(1).norm(dim=1) + _SMALL)[:, None, None, None]
