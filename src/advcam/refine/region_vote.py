"""Class-agnostic regions take a class by vote: boundaries from the regions, names from the maps.

Shape suffixes: k classes of the image, L labels of the mask, R regions, s partitions of the image, H W pixels.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64, Integer
from torch import Tensor

from advcam.data.masks import IGNORE
from advcam.data.pixels import takes_arrays
from advcam.errors import DataError, SettingsError


@takes_arrays
def regions(
    mask_or_maps: Integer[Tensor, "H W"] | Float[Tensor, "k H W"],
    regions: Bool[Tensor, "R _ _"] | Integer[Tensor, "*s _ _"],
    *,
    covered: float = 0.5,
    covering: float | None = 0.85,
) -> Integer[Tensor, "H W"] | Float[Tensor, "k H W"]:
    """The class of each class-agnostic region by vote; pixels in no region stay as they are.

    A **mask**: of the classes in a region, the one with the most pixels there is its class if the class's mask covers
    more than ``covered`` of the region, or if the region covers more than ``covering`` of the class's mask; otherwise
    the region is background (the rule of Chen et al., "Segment Anything Model Enhanced Pseudo Labels", 2023). Regions
    may overlap: a pixel takes the class of the smallest of its regions that has one, and is background where none has.
    Ignored pixels (255) do not vote. Of several partitions each gives a mask, and a pixel takes the label that most of
    them give it, its own where that is undecided.

    **Maps**: every pixel takes the mean over its region, and over the regions that it lies in.

    Args:
        mask_or_maps: labels, 0 background and 255 ignored, or one map per class.
        regions: True where a region is, one plane per region; or label maps that number the regions from 1, with 0 or
            less for pixels in no region: one partition of the image, or several.
        covered: share of the region, in [0, 1).
        covering: share of the class's mask, in [0, 1); None leaves this half of the rule out.

    Raises:
        DataError: mask or maps and regions differ in size.
        SettingsError: a share outside [0, 1).

    >>> mask = torch.tensor([[0, 3, 3, 3, 0, 0]])
    >>> regions(mask, torch.tensor([[1, 1, 2, 2, 2, 0]]), covering=None)
    tensor([[0, 0, 3, 3, 3, 0]])
    >>> regions(torch.tensor([[[0.0, 1.0, 0.5]]]), torch.tensor([[1, 1, 0]]))
    tensor([[[0.5000, 0.5000, 0.5000]]])
    """
    for name, share in (("covered", covered), ("covering", covering)):
        if share is not None and not 0 <= share < 1:
            raise SettingsError(f"{name} is a share in [0, 1), not {share}")
    if mask_or_maps.shape[-2:] != regions.shape[-2:]:
        raise DataError(
            f"the regions are of {' x '.join(map(str, regions.shape[-2:]))} pixels, but what they are to refine of "
            f"{' x '.join(map(str, mask_or_maps.shape[-2:]))}: bring them to one size"
        )
    parts = regions if regions.ndim == 3 else regions[None]
    if mask_or_maps.is_floating_point():
        return _mean_maps(mask_or_maps, parts)
    if mask_or_maps.ndim != 2:
        raise DataError(f"a mask must be rows x columns, and maps floating point, not {tuple(mask_or_maps.shape)}")
    if parts.dtype == torch.bool:
        return _overlapping_vote(mask_or_maps, parts, covered, covering)
    return _partition_vote(mask_or_maps, parts, covered, covering)


def region_means(
    maps: Float[Tensor, "k H W"], partition: Integer[Tensor, "H W"]
) -> tuple[Float[Tensor, "k R"], Int64[Tensor, " R"]]:
    """The mean of each map in each region of one partition, and the regions' areas; index 0 is "in no region".

    >>> region_means(torch.tensor([[[1.0, 3.0, 8.0]]]), torch.tensor([[1, 1, 2]]))
    (tensor([[0., 2., 8.]]), tensor([0, 2, 1]))
    """
    index_N = partition.clamp(min=0).flatten().long()
    area_R = torch.bincount(index_N)
    # Sums of a hundred thousand float32 values lose digits: in double precision.
    sums_KR = torch.stack([torch.bincount(index_N, weights=plane.flatten().double()) for plane in maps])
    return (sums_KR / area_R.clamp(min=1)).to(maps), area_R


def _mean_maps(maps_KHW: Tensor, parts: Tensor) -> Tensor:
    total_KHW, count_HW = torch.zeros_like(maps_KHW), maps_KHW.new_zeros(maps_KHW.shape[1:])
    for part_HW in parts if len(maps_KHW) else ():
        index_HW, inside_HW = part_HW.long().clamp(min=0), part_HW > 0
        means_KR, _ = region_means(maps_KHW, index_HW)
        total_KHW += means_KR[:, index_HW] * inside_HW
        count_HW += inside_HW
    return torch.where(count_HW > 0, total_KHW / count_HW.clamp(min=1), maps_KHW)


def _vote(
    mask_HW: Tensor, part_HW: Tensor, labels_L: Tensor, covered: float, covering: float | None
) -> Int64[Tensor, " R"]:
    """The label of each region of one partition, 0 for background."""
    voting_HW = mask_HW != IGNORE
    index_N = part_HW.clamp(min=0).long()[voting_HW]
    area_R = torch.bincount(index_N, minlength=int(part_HW.max()) + 1)
    if not len(labels_L):
        return torch.zeros_like(area_R)
    own_N = mask_HW[voting_HW]
    overlap_LR = torch.stack([torch.bincount(index_N[own_N == label], minlength=len(area_R)) for label in labels_L])
    most_R, best_R = overlap_LR.max(dim=0)
    elected_R = most_R > covered * area_R
    if covering is not None:
        elected_R |= most_R > covering * overlap_LR.sum(dim=1)[best_R]
    return torch.where(elected_R, labels_L[best_R], 0)


def _partition_vote(mask_HW: Tensor, parts: Tensor, covered: float, covering: float | None) -> Tensor:
    classes_L = _classes(mask_HW)
    made = []
    for part_HW in parts:
        label_R = _vote(mask_HW, part_HW, classes_L, covered, covering)
        made.append(torch.where(part_HW > 0, label_R[part_HW.clamp(min=0).long()].to(mask_HW), mask_HW))
    if len(made) == 1:
        return made[0]
    # Half a vote for a pixel's own label decides where the others are even, and outvotes nobody.
    labels_L = torch.cat([classes_L.new_tensor([0, IGNORE]), classes_L])
    own_LHW = (mask_HW == labels_L[:, None, None]) * 0.5
    votes_LHW = sum((part == labels_L[:, None, None] for part in made), start=own_LHW)
    return labels_L[votes_LHW.argmax(dim=0)].to(mask_HW)


def _overlapping_vote(mask_HW: Tensor, parts_RHW: Tensor, covered: float, covering: float | None) -> Tensor:
    classes_L = _classes(mask_HW)
    area_R = parts_RHW.sum(dim=(1, 2))
    voted_HW = torch.where(parts_RHW.any(dim=0), 0, mask_HW)
    # The smallest region is painted last.
    for region in area_R.argsort(descending=True, stable=True):
        label = _vote(mask_HW, parts_RHW[region].long(), classes_L, covered, covering)[1:]
        if label.any():
            voted_HW[parts_RHW[region]] = label.to(mask_HW)
    return voted_HW


def _classes(mask_HW: Tensor) -> Int64[Tensor, " L"]:
    labels = mask_HW.unique().long()
    return labels[(labels != 0) & (labels != IGNORE)]
