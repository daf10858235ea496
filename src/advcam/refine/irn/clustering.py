"""Instances from IRN's displacement field: cells that are led to one place belong to one object.

Shape suffixes: ``h w`` the grid, ``k`` classes, ``i`` instances.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor

from advcam.errors import DataError
from advcam.models.ranges import at_least_single


@torch.no_grad()
def find_centroids(displacement: Float[Tensor, "2 h w"], steps: int = 300) -> Int[Tensor, "2 h w"]:
    """Where each cell ends after following the displacement field: ``(y, x)`` of a cell.

    From its own place a cell goes ``steps`` times by the displacement at where it is (bilinear between cells), and
    never leaves the grid. The place is rounded in the end, half to even.

    Args:
        displacement: ``(dy, dx)`` in cells, its mean over the data set already taken off.
        steps: 300 in the reference program.

    Raises:
        DataError: the field has values that are not finite.

    >>> field = torch.zeros(2, 3, 3)
    >>> field[1, :, 0] = 1.0  # the first column moves right, by less the further it has come
    >>> find_centroids(field)[1, 0].tolist()
    [1, 1, 2]
    """
    if not bool(displacement.isfinite().all()):
        raise DataError("the displacement field has values that are not finite: train the displacement branch again")
    height, width = displacement.shape[-2:]
    displacement = at_least_single(displacement)
    y = torch.arange(height).to(displacement)[:, None].expand(height, width)
    x = torch.arange(width).to(displacement).expand(height, width)
    for _ in range(steps):
        top, left = y.floor(), x.floor()
        bottom, right = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
        down, across = y - top, x - left
        upper = _at(displacement, top, left) * (1 - across) + _at(displacement, top, right) * across
        lower = _at(displacement, bottom, left) * (1 - across) + _at(displacement, bottom, right) * across
        moved = upper * (1 - down) + lower * down
        y = (y + moved[0]).clamp(0, height - 1)
        x = (x + moved[1]).clamp(0, width - 1)
    return torch.stack([y, x]).round().long()


def instance_masks(
    displacement: Float[Tensor, "2 h w"], centroids: Int[Tensor, "2 h w"], threshold: float | int = 2.5
) -> Bool[Tensor, "i h w"]:
    """One mask per group of cells with a common centroid; each cell of the grid is in exactly one.

    Centroids lie where the field is weak. All that fall into one 4-connected region of weak displacement are one
    centroid; regions are taken in raster order, and those that nothing leads to are left out. Cells whose centroid is
    in no such region form a group of their own, the first one.

    Args:
        centroids: of :func:`find_centroids`.
        threshold: displacements shorter than this, in cells, are weak.

    >>> field = torch.zeros(2, 1, 5)
    >>> field[1, 0] = torch.tensor([0.0, 0.0, 9.0, 0.0, 0.0])  # a strong displacement parts two regions
    >>> instance_masks(field, find_centroids(torch.zeros(2, 1, 5))).int().tolist()
    [[[0, 0, 1, 0, 0]], [[1, 1, 0, 0, 0]], [[0, 0, 0, 1, 1]]]
    """
    regions, _ = ndimage.label((displacement.norm(dim=0) < threshold).cpu().numpy())
    region = torch.from_numpy(regions).to(centroids.device)[centroids[0], centroids[1]]
    return region == region.unique()[:, None, None]


def instance_maps(maps: Float[Tensor, "k h w"], instances: Bool[Tensor, "i h w"]) -> Float[Tensor, "k*i h w"]:
    """Every class map cut to every instance, all instances of the first class before those of the second.

    These take the place of the class maps in the walk.

    >>> instance_maps(torch.rand(2, 4, 4), torch.ones(3, 4, 4, dtype=torch.bool)).shape
    torch.Size([6, 4, 4])
    """
    return (maps[:, None] * instances).flatten(0, 1)


def _at(field: Tensor, y: Tensor, x: Tensor) -> Tensor:
    return field[:, y.long(), x.long()]
