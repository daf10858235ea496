"""Pairs of neighbouring cells: which there are, whether they should be alike, and the loss that says so.

IRN and PSA both look at the pairs of grid cells closer than a radius, each pair once, from a *source* to the
destination below it or to its right. Shape suffixes: ``h w`` the grid, ``o`` the offsets of a radius, ``r c`` the rows
and columns of the sources, that is of the cells whose destinations all lie on the grid.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Integer, Shaped
from torch import Tensor
from torch.nn import functional

from advcam.data.masks import IGNORE
from advcam.errors import DataError, SettingsError

# Keeps the logarithms, and the means over no pairs, finite; the same in both reference programs.
EPSILON = 1e-5


def pair_offsets(radius: int) -> tuple[tuple[int, int], ...]:
    """The offsets ``(dy, dx)`` from a source to its destinations, in raster order.

    All offsets below or to the right with ``dy^2 + dx^2 < radius^2``: 34 for a radius of 5 cells, 152 for 10.

    >>> pair_offsets(2)
    ((0, 1), (1, -1), (1, 0), (1, 1))
    """
    if radius < 2:
        raise SettingsError(f"radius must be at least 2 cells so that a cell has neighbours, not {radius}")
    return tuple(
        (dy, dx)
        for dy in range(radius)
        for dx in range(1 - radius, radius)
        if (dy, dx) > (0, 0) and dy * dy + dx * dx < radius * radius
    )


def radius_of(num_offsets: int) -> int:
    """The radius, in cells, that has this many offsets.

    >>> radius_of(34)
    5
    """
    radius = 2
    while len(pair_offsets(radius)) < num_offsets:
        radius += 1
    if len(pair_offsets(radius)) != num_offsets:
        raise DataError(
            f"{num_offsets} planes of pair affinities belong to no radius (radius {radius} has "
            f"{len(pair_offsets(radius))}): give one plane per offset of pair_offsets(radius)"
        )
    return radius


def cells_at(grid: Shaped[Tensor, "*n h w"], offset: tuple[int, int], radius: int) -> Shaped[Tensor, "*n r c"]:
    """The values of ``grid`` at all sources, moved by ``offset``; ``(0, 0)`` gives the sources themselves.

    Sources are rows ``0 .. h - radius`` and columns ``radius - 1 .. w - radius``; a grid too small has none.

    >>> cells_at(torch.arange(12).reshape(3, 4), (1, -1), radius=2)
    tensor([[4, 5],
            [8, 9]])
    """
    reach = radius - 1
    height, width = grid.shape[-2:]
    top, left = offset[0], reach + offset[1]
    return grid[..., top : top + max(height - reach, 0), left : left + max(width - 2 * reach, 0)]


def window_at(padded: Shaped[Tensor, "*n H W"], offset: tuple[int, int], reach: int) -> Shaped[Tensor, "*n h w"]:
    """What the cells of a grid see at an offset; ``padded`` is the grid with a border of ``reach`` all round."""
    height, width = padded.shape[-2] - 2 * reach, padded.shape[-1] - 2 * reach
    top, left = reach + offset[0], reach + offset[1]
    return padded[..., top : top + height, left : left + width]


def surround(grid: Float[Tensor, "*n h w"], radius: int, value: float) -> Float[Tensor, "*n h_wide w_wide"]:
    """The grid with a border of ``value`` at the left, right and bottom, so that every cell of it is a source."""
    reach = radius - 1
    return functional.pad(grid, (reach, reach, 0, reach), value=value)


class PairLabels(NamedTuple):
    """What is known of each pair: both cells background, both of one foreground class, or of two different labels.

    A pair with an ignored cell is none of the three. The ``counts`` of some labels have the same form.
    """

    background: Bool[Tensor, "*n o r c"] | Int[Tensor, ""]
    foreground: Bool[Tensor, "*n o r c"] | Int[Tensor, ""]
    different: Bool[Tensor, "*n o r c"] | Int[Tensor, ""]

    def counts(self) -> PairLabels:
        """How many pairs there are of each kind: what the means of a loss are taken over."""
        return PairLabels(*(kind.sum() for kind in self))

    def of_image(self, index: int) -> PairLabels:
        """Those of one image of a batch, itself a batch of one."""
        return PairLabels(*(kind[index : index + 1] for kind in self))


def pair_labels(labels: Integer[Tensor, "*n h w"], radius: int, ignore_index: int = IGNORE) -> PairLabels:
    """What a label map (0 background) says of the pairs closer than ``radius``, as IRN and PSA train on it.

    Args:
        labels: at the resolution of the affinities.
        ignore_index: the label that says nothing.

    >>> found = pair_labels(torch.tensor([[0, 0, 3, 3], [0, 255, 3, 0]]), radius=2)
    >>> found.background.sum().item(), found.foreground.sum().item(), found.different.sum().item()
    (1, 2, 3)
    """
    source = cells_at(labels, (0, 0), radius).unsqueeze(-3)
    destination = torch.stack([cells_at(labels, offset, radius) for offset in pair_offsets(radius)], dim=-3)
    known = (source != ignore_index) & (destination != ignore_index)
    same = known & (source == destination)
    return PairLabels(same & (source == 0), same & (source != 0), known & (source != destination))


def affinity_losses(
    affinities: Float[Tensor, "*n o r c"], labels: PairLabels, counts: PairLabels | None = None
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The cross entropies of the pairs that should be alike and of those that should not: ``-ln a``, ``-ln (1 - a)``.

    The first is the mean of two means, over background pairs and over foreground pairs, so that neither outweighs the
    other. Means run over the whole batch; a mean over no pairs is zero. Half the sum of the two is the affinity loss
    of both reference programs, IRN's and PSA's.

    Args:
        affinities: in [0, 1], 1 where two cells belong together.
        counts: of the whole batch, where these pairs are a part of it: the losses of all parts then add up.

    >>> labels = pair_labels(torch.tensor([[1, 1, 1, 2], [1, 1, 1, 2]]), radius=2)
    >>> alike, different = affinity_losses(torch.full((4, 1, 2), 0.5), labels)
    >>> f"{alike:.3f} {different:.3f}"
    '0.347 0.693'
    """
    pull = -torch.log(affinities + EPSILON)
    push = -torch.log(1 + EPSILON - affinities)
    counts = counts or labels.counts()
    alike = mean_over(labels.background, pull, counts.background) + mean_over(
        labels.foreground, pull, counts.foreground
    )
    return alike / 2, mean_over(labels.different, push, counts.different)


def mean_over(
    pairs: Bool[Tensor, "*n o r c"], values: Float[Tensor, "*n o r c"], count: Int[Tensor, ""] | None = None
) -> Float[Tensor, ""]:
    """The mean of ``values`` over the chosen pairs of the whole batch, zero where there are none.

    With a ``count`` it is their sum divided by it.
    """
    return (pairs * values).sum() / ((pairs.sum() if count is None else count).to(values.dtype) + EPSILON)
