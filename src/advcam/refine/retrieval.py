"""Regions named by their nearest neighbours: masks as a memory of features, with no training.

A pseudo mask is right more often inside than at its rim, and most of a class's regions look like one another. So masks
are eroded, features are pooled over what each region has of each class, those far from the rest of their class are
dropped, and a region of any image takes the vote of the ones it is nearest to.

Shape suffixes: d channels of the features, h w their grid, H W pixels, R regions, n remembered regions, L labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64, Integer, UInt8
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from advcam.errors import DataError, SettingsError
from advcam.refine.seeds import IGNORE


@dataclass(frozen=True)
class RetrievalSettings:
    """What is remembered of the masks, and how a region is named.

    >>> RetrievalSettings(neighbours=3).erosion
    8
    """

    erosion: int = 8
    """Pixels that every class and the background lose at their rim before features are pooled."""
    min_area: int = 64
    """Pixels that a region must have of a class to be remembered."""
    dropped: float = 0.2
    """Share of a class's regions, those farthest from the mean of the class, that is forgotten, in [0, 1)."""
    neighbours: int = 10
    """Of each class the nearest so many speak for it."""

    def __post_init__(self) -> None:
        if self.erosion < 0 or self.min_area < 1 or self.neighbours < 1:
            raise SettingsError(
                "retrieval.erosion must be 0 or more, retrieval.min_area and retrieval.neighbours 1 or more, not "
                f"{self.erosion}, {self.min_area} and {self.neighbours}"
            )
        if not 0 <= self.dropped < 1:
            raise SettingsError(f"retrieval.dropped is a share in [0, 1), not {self.dropped}")


@dataclass(frozen=True)
class Memory:
    """Regions of the training images: unit features, labels, and the number of the image that each is of."""

    features: Float[Tensor, "n d"]
    labels: Int64[Tensor, " n"]
    images: Int64[Tensor, " n"]

    @classmethod
    def joined(cls, parts: list[Memory]) -> Memory:
        """One memory of several.

        Raises:
            DataError: there is nothing to remember.
        """
        if not any(len(part.labels) for part in parts):
            raise DataError("no region of any mask is large enough to be remembered: lower retrieval.erosion")
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in ("features", "labels", "images")))

    def without_far(self, dropped: float) -> Memory:
        """Without the regions of each label that are farthest from the label's mean, a share of them."""
        kept = torch.ones_like(self.labels, dtype=torch.bool)
        for label in self.labels.unique():
            members = (self.labels == label).nonzero().flatten()
            nearness = self.features[members] @ self.features[members].mean(dim=0)
            kept[members[nearness.argsort(stable=True)[: int(dropped * len(members))]]] = False
        return Memory(self.features[kept], self.labels[kept], self.images[kept])

    def votes(
        self,
        features: Float[Tensor, "R d"],
        labels: Integer[Tensor, " L"],
        neighbours: int,
        own_image: int | None = None,
    ) -> Float[Tensor, "L R"]:
        """The mean cosine of each region to the nearest ``neighbours`` of each label; -1 for a label without any.

        Labels weigh the same however many regions are remembered of them.

        Args:
            features: of the regions to name.
            labels: those that may be given.
            own_image: number of an image whose own regions do not speak.
        """
        nearness_Rn = functional.normalize(features, dim=1) @ self.features.T
        votes_LR = nearness_Rn.new_full((len(labels), len(features)), -1.0)
        speaks_n = torch.ones_like(self.labels, dtype=torch.bool) if own_image is None else self.images != own_image
        for index, label in enumerate(labels):
            of_label_Rm = nearness_Rn[:, speaks_n & (self.labels == label)]
            if of_label_Rm.shape[1]:
                votes_LR[index] = of_label_Rm.topk(min(neighbours, of_label_Rm.shape[1]), dim=1).values.mean(dim=1)
        return votes_LR


def remember(
    features: Float[Tensor, "d h w"],
    mask: UInt8[Tensor, "H W"],
    regions: Integer[Tensor, "H W"],
    settings: RetrievalSettings,
    image: int = 0,
) -> Memory:
    """What one image adds to the memory: a feature for each label of its eroded mask in each region.

    Args:
        features: frozen, over the whole image.
        mask: dataset labels, 0 background, 255 ignored.
        regions: numbered from 1.
        image: its number.
    """
    sure = torch.from_numpy(eroded(mask.cpu().numpy(), settings.erosion)).to(regions.device).long()
    both = regions.clamp(min=0).long() * (IGNORE + 1) + sure
    both = torch.where((regions > 0) & (sure != IGNORE), both, -1)
    names, index = both.unique(return_inverse=True)
    pooled, areas = pooled_features(features, index.view(both.shape))
    kept = (names >= 0) & (areas >= settings.min_area)
    labels = names[kept] % (IGNORE + 1)
    return Memory(functional.normalize(pooled[kept], dim=1), labels, torch.full_like(labels, image))


def pooled_features(
    features: Float[Tensor, "d h w"], index: Integer[Tensor, "H W"]
) -> tuple[Float[Tensor, "R d"], Int64[Tensor, " R"]]:
    """The mean feature of the pixels of each number 0 .. R - 1, and how many pixels; a pixel has its cell's feature.

    >>> pooled_features(torch.tensor([[[1.0, 5.0]]]), torch.tensor([[0, 0, 0, 1]]))
    (tensor([[2.3333],
            [5.0000]]), tensor([3, 1]))
    """
    _, h, w = features.shape
    height, width = index.shape
    rows = torch.arange(height, device=index.device) * h // height
    columns = torch.arange(width, device=index.device) * w // width
    cell = rows[:, None] * w + columns
    count = int(index.max()) + 1
    shared = torch.bincount((index.long() * (h * w) + cell).flatten(), minlength=count * h * w).view(count, h * w)
    areas = shared.sum(dim=1)
    return (shared.to(features) / areas.clamp(min=1)[:, None].to(features)) @ features.flatten(1).T, areas


def named(
    features: Float[Tensor, "d h w"],
    regions: Integer[Tensor, "H W"],
    memory: Memory,
    labels: Integer[Tensor, " L"],
    neighbours: int,
    own_image: int | None = None,
) -> Float[Tensor, "L H W"]:
    """What the memory says of every pixel, by its region: ``Memory.votes``; pixels in no region count as one more.

    The label with the highest vote is the region's, as a mask of a new image. For a training image give the labels that
    it is known to show, and its own number.
    """
    index_HW = regions.clamp(min=0).long()
    pooled, _ = pooled_features(features, index_HW)
    return memory.votes(pooled, labels, neighbours, own_image)[:, index_HW]


def eroded(mask: UInt8[np.ndarray, "H W"], pixels: int) -> UInt8[np.ndarray, "H W"]:
    """The mask with 255 at most so many pixels from another label; the border of the image is no such.

    >>> eroded(np.array([[0, 0, 0, 7, 7, 7, 7]], np.uint8), 1).tolist()
    [[0, 0, 255, 255, 7, 7, 7]]
    """
    kept = np.full_like(mask, IGNORE)
    for label in np.unique(mask):
        inside = mask == label
        # The transform of a plane without any other pixel measures to nowhere.
        deep = inside if inside.all() else ndimage.distance_transform_edt(inside) > pixels
        kept[deep & inside] = label
    return kept
