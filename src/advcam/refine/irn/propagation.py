"""The walk of IRN: class maps spread over the image, and stop at edges. Two cells belong together if the path between
them meets no edge.

Shape suffixes as in ``refine/pairs.py``: ``h w`` the grid, ``o`` offsets, ``r c`` rows and columns of sources.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from advcam.data.pixels import takes_arrays
from advcam.errors import DataError, SettingsError
from advcam.models.ranges import at_least_single
from advcam.refine.irn_settings import STRIDE
from advcam.refine.pairs import cells_at, pair_offsets, surround
from advcam.refine.walk import random_walk, upscale


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


@torch.no_grad()
@takes_arrays
def propagate(
    maps: Float[Tensor, "*n k h w"],
    edge: Float[Tensor, "*m h_edge w_edge"],
    *,
    radius: int = 5,
    beta: float | int = 10,
    exp_times: int = 8,
) -> Float[Tensor, "*n k h w"]:
    """Class maps after IRN's random walk: ``vec(maps * (1 - edge)) T^(2^exp_times)``.

    ``T`` is the affinity matrix to the power ``beta``, element by element, divided by its column sums. Affinities are
    those of :func:`path_affinities` for all pairs of cells in the image, and 1 from a cell to itself. Values stay
    between 0 and the maximum of the map. Leading dimensions are images of one size.

    Args:
        maps: class activation maps of the classes of the image, not negative, at a quarter of the image's resolution.
            AdvCAM raises them to the power 1.5 before.
        edge: probability of an edge in [0, 1], on the same grid.
        beta: the larger, the less a weak edge is crossed.

    Raises:
        DataError: the edge map is of another size than the maps, or not a probability.
        SettingsError: the radius is below 2, ``beta`` is not positive or ``exp_times`` is negative.

    >>> maps = torch.rand(2, 24, 32)
    >>> propagate(maps, torch.rand(24, 32)).shape
    torch.Size([2, 24, 32])
    """
    if edge.shape != (*maps.shape[:-3], *maps.shape[-2:]):
        raise DataError(
            f"the edge map is of shape {tuple(edge.shape)}, but the class maps of shape {tuple(maps.shape)}: "
            "both must be of the same image at the same resolution"
        )
    if not bool(((edge >= 0) & (edge <= 1)).all()):
        raise DataError("the edge map has values outside [0, 1]: give probabilities, that is the sigmoid of the logits")
    if beta <= 0 or exp_times < 0:
        raise SettingsError(f"beta must be positive and exp_times not negative, not {beta} and {exp_times}")
    # A border of certain edge gives the cells near the rim their pairs, and pairs that leave the image no affinity.
    affinities = path_affinities(surround(at_least_single(edge), radius, 1.0), radius)
    start = maps * (1 - edge).unsqueeze(-3)
    return random_walk(start, affinities**beta, steps=2**exp_times).to(maps.dtype)


def image_scores(walked: Float[Tensor, "*n k h w"], size: tuple[int, int]) -> Float[Tensor, "*n k H W"]:
    """Walked maps at the size of the image, divided by the one maximum over all classes: in [0, 1].

    An image whose maps are zero everywhere keeps zeros. The pseudo mask is the argmax over a constant plane, 0.25 in
    the reference program, and these.

    Raises:
        DataError: the maps do not cover the image at 4 pixels per cell.

    >>> image_scores(torch.rand(2, 24, 32), (93, 126)).amax()
    tensor(1.)
    """
    scores = upscale(walked, STRIDE, size)
    peak = scores.flatten(-3).amax(dim=-1)[..., None, None, None]
    return scores / torch.where(peak > 0, peak, 1)
