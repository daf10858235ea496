"""Maps spread over cells that a frozen network finds alike: attention, features, or the classifier's own opinions.

Two forms of one walk. Attention ties every token to every other one: a full matrix, a few steps. Features and class
distributions tie the cells closer than a radius: planes of ``refine/pairs.py``, walked by ``refine/walk.py``.

Shape suffixes: k maps, K classes of the classifier, l layers, N tokens or cells (h * w), o offsets of a radius, h w the
grid.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from advcam.errors import DataError
from advcam.models.ranges import at_least_single
from advcam.refine.pairs import cells_at, pair_offsets, surround


def sinkhorn(matrix: Float[Tensor, "N N"], rounds: int = 3) -> Float[Tensor, "N N"]:
    """Rows and columns divided by their sums in turn: near to doubly stochastic, the nearer the more rounds.

    >>> sinkhorn(torch.tensor([[1.0, 1.0], [1.0, 3.0]]), rounds=20)
    tensor([[0.6340, 0.3660],
            [0.3660, 0.6340]])
    """
    for _ in range(rounds):
        matrix = matrix / matrix.sum(dim=0, keepdim=True).clamp(min=torch.finfo(matrix.dtype).tiny)
        matrix = matrix / matrix.sum(dim=1, keepdim=True).clamp(min=torch.finfo(matrix.dtype).tiny)
    return matrix


def attention_affinity(attention: Float[Tensor, "l N N"], rounds: int = 3) -> Float[Tensor, "N N"]:
    """The affinity of the tokens of a vision transformer: attention of some layers averaged, Sinkhorn, symmetrized.

    Source: Lin et al., "CLIP is Also an Efficient Segmenter" (CLIP-ES, CVPR 2023), section 3.3, which takes the last
    eight layers of CLIP's ViT-B/16.

    Args:
        attention: of each layer the mean over its heads, without the class token; rows are queries.

    >>> attention_affinity(torch.ones(2, 4, 4))[0]
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    balanced_NN = sinkhorn(attention.mean(dim=0), rounds)
    return (balanced_NN + balanced_NN.T) / 2


def spread(
    maps: Float[Tensor, "k h w"], affinity: Float[Tensor, "N N"], steps: int = 2, box_threshold: float | None = 0.4
) -> Float[Tensor, "k h w"]:
    """The maps after ``steps`` steps over a full affinity, each kept to the boxes of its own high values.

    ``M' = B (A^T)^steps vec(M)``, B the boxes (CLIP-ES, eq. 5: two steps, boxes at 0.4 of the maximum).

    Args:
        maps: not negative.
        box_threshold: as in ``boxes_mask``; None walks everywhere.

    >>> maps = torch.tensor([[[1.0, 0.0, 0.0]]])
    >>> spread(maps, torch.full((3, 3), 1 / 3), steps=1, box_threshold=None)
    tensor([[[0.3333, 0.3333, 0.3333]]])
    """
    cells = maps.shape[1] * maps.shape[2]
    if affinity.shape[0] != cells:
        raise DataError(f"the affinity is of {affinity.shape[0]} cells, but the maps of {cells}: use one grid for both")
    walked = maps.flatten(1)
    for _ in range(steps):
        walked = walked @ affinity
    spread_KHW = walked.view_as(maps)
    return spread_KHW if box_threshold is None else spread_KHW * boxes_mask(maps, box_threshold)


def boxes_mask(maps: Float[Tensor, "k h w"], threshold: float) -> Bool[Tensor, "k h w"]:
    """True in the boxes around the 8-connected components of what exceeds the threshold, a share of the map's maximum.

    >>> boxes_mask(torch.tensor([[[0.0, 0.9, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]]), 0.5)[0].int().tolist()
    [[0, 1, 1], [0, 1, 1], [0, 0, 0]]
    """
    inside_KHW = torch.zeros_like(maps, dtype=torch.bool)
    high_KHW = maps > threshold * maps.amax(dim=(1, 2), keepdim=True)
    for inside_HW, high_HW in zip(inside_KHW, high_KHW.cpu().numpy(), strict=True):
        labels, _ = ndimage.label(high_HW, [[1, 1, 1]] * 3)
        for box in ndimage.find_objects(labels):
            inside_HW[box] = True
    return inside_KHW


def class_distributions(class_maps: Float[Tensor, "K h w"]) -> Float[Tensor, "K+1 h w"]:
    """What the classifier thinks of each cell by itself: softmax of its class maps and of 0 for "none of them".

    >>> class_distributions(torch.zeros(3, 1, 2))[:, 0, 0]
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    return torch.cat([torch.zeros_like(class_maps[:1]), class_maps]).softmax(dim=0)


def jensen_shannon_affinity(distributions: Float[Tensor, "K h w"], radius: int = 5) -> Float[Tensor, "o h w"]:
    """``1 - JS(p_i, p_j) / ln 2`` of all pairs of cells closer than the radius: 1 for equal, 0 for disjoint opinions.

    Laid out as ``random_walk`` takes them, 0 where a pair leaves the grid.

    Args:
        distributions: sum to 1 in every cell.

    >>> opinions = torch.tensor([[[1.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]])
    >>> jensen_shannon_affinity(opinions, radius=2)[0]
    tensor([[1., 0., 0.]])
    """
    p = surround(at_least_single(distributions), radius, 0.0)
    entropy_HW = torch.special.entr(p).sum(dim=0)
    source, own = cells_at(p, (0, 0), radius), cells_at(entropy_HW, (0, 0), radius)
    planes = []
    for offset in pair_offsets(radius):
        mean = (source + cells_at(p, offset, radius)) / 2
        apart = torch.special.entr(mean).sum(dim=0) - (own + cells_at(entropy_HW, offset, radius)) / 2
        planes.append(1 - (apart / math.log(2)).clamp(0, 1))
    return torch.stack(planes) * _on_grid(distributions, radius)


def cosine_affinity(features: Float[Tensor, "d h w"], radius: int = 5) -> Float[Tensor, "o h w"]:
    """The positive part of the cosine of the features of all pairs of cells closer than the radius, as DINO's are used.

    >>> cosine_affinity(torch.tensor([[[1.0, 2.0, 0.0]], [[0.0, 0.0, 1.0]]]), radius=2)[0]
    tensor([[1., 0., 0.]])
    """
    unit = surround(functional.normalize(at_least_single(features), dim=0), radius, 0.0)
    source = cells_at(unit, (0, 0), radius)
    planes = [(source * cells_at(unit, offset, radius)).sum(dim=0) for offset in pair_offsets(radius)]
    return torch.stack(planes).clamp(0, 1)


def _on_grid(grid: Tensor, radius: int) -> Float[Tensor, "o h w"]:
    """1 for every pair of cells of which both are on the grid."""
    ones = surround(torch.ones_like(at_least_single(grid[0])), radius, 0.0)
    return torch.stack([cells_at(ones, offset, radius) for offset in pair_offsets(radius)])
