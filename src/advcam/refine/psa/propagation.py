"""PSA: class maps spread over cells with like features (Ahn and Kwak, CVPR 2018).

Shape suffixes as in ``refine/pairs.py``: ``h w`` the grid, ``o`` offsets, ``r c`` rows and columns of sources.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from advcam.data.pixels import takes_arrays
from advcam.errors import DataError, SettingsError
from advcam.models.ranges import at_least_single
from advcam.refine.pairs import PairLabels, affinity_losses, cells_at, pair_offsets, surround
from advcam.refine.psa_settings import STRIDE
from advcam.refine.walk import random_walk, upscale


def pair_affinities(features: Float[Tensor, "*n d h w"], radius: int = 5) -> Float[Tensor, "*n o r c"]:
    """``a = exp(-mean over channels |F(destination) - F(source)|)`` of all pairs; differentiable, for training.

    Half precision is computed in single precision. The order of the offsets is that of ``pairs.pair_offsets``.

    >>> pair_affinities(torch.zeros(4, 16, 20), radius=5).shape
    torch.Size([34, 12, 12])
    """
    features = at_least_single(features)
    source = cells_at(features, (0, 0), radius)
    distances = [(cells_at(features, offset, radius) - source).abs().mean(dim=-3) for offset in pair_offsets(radius)]
    return torch.exp(-torch.stack(distances, dim=-3))


@takes_arrays
def affinities(
    features: Float[Tensor, "*n d h w"], radius: int = 5, *, all_pairs: bool = False
) -> Float[Tensor, "*n o h w"]:
    """The affinities to walk on, one plane per offset; entry ``(y, x)`` is that of source ``(y, x)``.

    The released program leaves out the pairs whose source lies closer than the radius to the left, right or bottom
    rim, so that cells near the rim have fewer links or none; those entries are zero. On a grid smaller than the radius
    all are, and the walk changes nothing.

    Args:
        all_pairs: True fixes this and gives all pairs of cells in the image.

    >>> affinities(torch.zeros(4, 16, 20))[0].sum().item()  # 12 rows of 12 sources
    144.0
    >>> affinities(torch.zeros(4, 16, 20), all_pairs=True)[0].sum().item()  # 16 rows of 19 pairs
    304.0
    """
    if all_pairs:
        # Infinitely far features: the pairs that leave the image get the affinity 0.
        return pair_affinities(surround(features, radius, torch.inf), radius)
    found = pair_affinities(features, radius)
    planes = found.new_zeros(*found.shape[:-2], *features.shape[-2:])
    cells_at(planes, (0, 0), radius).copy_(found)
    return planes


def affinity_loss(affinities: Float[Tensor, "*n o r c"], labels: PairLabels) -> Float[Tensor, ""]:
    """AffinityNet's training loss from :func:`pair_affinities`; background, foreground and different pairs weigh 1/4,
    1/4 and 1/2."""
    alike, different = affinity_losses(affinities, labels)
    return (alike + different) / 2


@torch.no_grad()
@takes_arrays
def propagate(
    scores: Float[Tensor, "*n k h w"],
    affinities: Float[Tensor, "*m o h_pairs w_pairs"],
    *,
    beta: float | int = 8,
    log_times: int = 8,
) -> Float[Tensor, "*n k h w"]:
    """Class scores after PSA's random walk: ``vec(scores) T^(2^log_times)``.

    ``T`` is the affinity matrix to the power ``beta``, element by element, divided by its column sums; a cell has the
    affinity 1 to itself. Values stay within the range of each map. Leading dimensions are images of one size.

    Args:
        scores: background and classes, see :func:`walk_scores`.
        affinities: of :func:`affinities`, on the same grid.
        beta: the larger, the less unlike cells exchange.

    Raises:
        DataError: the affinities are of another grid, or of no radius.
        SettingsError: ``beta`` is not positive or ``log_times`` is negative.

    >>> propagate(torch.rand(3, 16, 20), affinities(torch.rand(4, 16, 20))).shape
    torch.Size([3, 16, 20])
    """
    if beta <= 0 or log_times < 0:
        raise SettingsError(f"beta must be positive and log_times not negative, not {beta} and {log_times}")
    return random_walk(scores, at_least_single(affinities) ** beta, steps=2**log_times)


def walk_scores(
    maps: Float[Tensor, "*n k H W"], *, alpha: float | int = 16, stride: int = STRIDE
) -> Float[Tensor, "*n k+1 h w"]:
    """What PSA lets walk: a background map and the class maps, averaged over the pixels of each cell.

    The background is ``(1 - max over the class maps)^alpha``. The image is filled up with zeros, right and bottom, to
    whole cells.

    Args:
        maps: of the classes of the image, in [0, 1], at its full size.
        alpha: the larger, the less background; 16 in the released program.

    Raises:
        DataError: the maps have values outside [0, 1].

    >>> walk_scores(torch.rand(2, 123, 155)).shape
    torch.Size([3, 16, 20])
    """
    if not bool(((maps >= 0) & (maps <= 1)).all()):
        raise DataError("the class maps have values outside [0, 1]: divide each by its maximum")
    background = (1 - maps.amax(dim=-3, keepdim=True)) ** alpha
    scores = torch.cat([background, maps], dim=-3)
    filled = functional.pad(scores, (0, -maps.shape[-1] % stride, 0, -maps.shape[-2] % stride))
    pooled = functional.avg_pool2d(filled.reshape(-1, 1, *filled.shape[-2:]), stride)
    return pooled.reshape(*scores.shape[:-2], *pooled.shape[-2:])


def image_scores(walked: Float[Tensor, "*n k h w"], size: tuple[int, int]) -> Float[Tensor, "*n k H W"]:
    """Walked scores at the size of the image; their argmax, 0 for background, is the pseudo mask.

    Raises:
        DataError: the scores do not cover the image at 8 pixels per cell.

    >>> image_scores(torch.rand(3, 16, 20), (123, 155)).shape
    torch.Size([3, 123, 155])
    """
    return upscale(walked, STRIDE, size)
