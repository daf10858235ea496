"""What a network finds of a class where there is none: a figure that needs labels of images, and no masks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from advcam.evaluate.scores import defined


@dataclass(frozen=True, eq=False)
class FalseArea:
    """Of each class the images that lack it, and the part of their area that is labelled with it.

    >>> found = FalseArea.none(2).plus(np.array([[0, 1, 1, 2]], np.uint8), (1,))
    >>> found.by_class.tolist(), found.mean
    ([0.5, nan], 0.5)
    """

    total: Float64[Tensor, " K"]
    """Sum over the images of each one's part."""
    images: Int64[Tensor, " K"]
    """How many images lack the class."""

    @classmethod
    def none(cls, num_classes: int) -> FalseArea:
        """Before the first image; classes without the background."""
        return cls(torch.zeros(num_classes, dtype=torch.float64), torch.zeros(num_classes, dtype=torch.int64))

    def plus(self, labels: UInt8[np.ndarray, "H W"], classes: Collection[int]) -> FalseArea:
        """With one more image.

        Args:
            labels: its label picture, ``class + 1``; 255 counts as background.
            classes: those that it shows.
        """
        lacking = torch.tensor([index not in classes for index in range(len(self.total))])
        counts = np.stack([np.count_nonzero(labels == index + 1) for index in range(len(self.total))])
        return FalseArea(self.total + lacking * torch.from_numpy(counts).double() / labels.size, self.images + lacking)

    @property
    def by_class(self) -> Float64[Tensor, " K"]:
        """The mean part of an image without the class that is labelled with it; NaN where every image shows it."""
        return self.total / self.images

    @property
    def mean(self) -> float:
        """Over the classes that some image lacks; NaN where there is none."""
        return float(self.by_class.nanmean())

    def to_json(self, class_names: Collection[str]) -> dict[str, object]:
        """The record for ``metrics.json``."""
        return {
            "false_area": defined(self.mean),
            "class_false_area": dict(zip(class_names, map(defined, self.by_class.tolist()), strict=True)),
            "images_without": dict(zip(class_names, self.images.tolist(), strict=True)),
        }
