"""Affinities of pairs of cells from an edge map: two cells belong together if the path between them meets no edge.

Shape suffixes as in ``refine/pairs.py``: ``h w`` the grid, ``o`` offsets, ``r c`` rows and columns of sources.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from advcam.refine.pairs import cells_at, pair_offsets


def path_cells(offset: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """The cells ``(y, x)``, relative to the source, of the path to the destination at ``offset``; both are on it.

    All cells of the box between the two that lie closer than one cell to the straight line: a band without gaps.

    >>> path_cells((2, 2))
    ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2))
    """
    dy, dx = offset
    return tuple(
        (y, x)
        for y in range(dy + 1)
        for x in range(min(dx, 0), max(dx, 0) + 1)
        if (dy * x - dx * y) ** 2 < dy * dy + dx * dx
    )


def path_affinities(edge: Float[Tensor, "*n h w"], radius: int = 5) -> Float[Tensor, "*n o r c"]:
    """``a = 1 - max`` of the edge map over the path of each pair, for all sources; differentiable.

    The order of the offsets is that of ``pair_offsets``. IRN trains with a radius of 10 cells and walks with 5.

    >>> path_affinities(torch.full((2, 32, 32), 0.25), radius=5).shape
    torch.Size([2, 34, 28, 24])
    """
    # max, not amax: what it keeps for the gradient is a place per pair, not every cell of every path.
    strongest = [
        torch.stack([cells_at(edge, cell, radius) for cell in path_cells(offset)]).max(dim=0).values
        for offset in pair_offsets(radius)
    ]
    return 1 - torch.stack(strongest, dim=-3)
