"""A background threshold from the maps alone: no mask is read.

The highest map value of a pixel tells foreground from background. Over a data set these values pile up near 0 and
spread out above, and Otsu's criterion finds the cut between the two groups: it maximises the variance between them,
``w0 w1 (m1 - m0)^2``, with w the groups' shares of the pixels and m their mean values. It has no parameter, follows
maps that are wider or narrower as a whole, and needs one histogram.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from advcam.errors import DataError
from advcam.saliency.threshold import best_cut, between_variance

# Bins of the histogram of [0, 1]: the thresholds that can be chosen are the multiples of 0.01, as in a sweep.
BINS = 100


@dataclass(frozen=True)
class ThresholdChoice:
    """A threshold and how clear the choice was."""

    threshold: float
    """Background threshold in units of maps normalised to [0, 1], a multiple of 0.01."""
    separability: float
    """Share of the values' variance that lies between the two groups, in [0, 1]; near 0 there are no two groups."""
    foreground: float
    """Share of the pixels above the threshold."""
    image_count: int
    """Number of images whose maps were used."""
    skipped: int
    """Number of images left out because their maps are zero everywhere."""


def choose_threshold(images: Iterable[Float[Tensor, "_ _ _"]]) -> ThresholdChoice:
    """One background threshold for a data set, by Otsu's criterion over the highest map value of every pixel.

    Args:
        images: per image its maps Float[k H W] in [0, 1], at any resolution (that of the run folder, a quarter, is
            as good as the full one). A generator keeps memory flat.

    >>> import torch
    >>> maps = torch.cat([torch.full((1, 6, 8), 0.1), torch.full((1, 4, 8), 0.9)], dim=1)
    >>> choice = choose_threshold([maps])
    >>> round(choice.threshold, 2), round(choice.separability, 2), choice.foreground
    (0.5, 1.0, 0.4)
    """
    counts, image_count, skipped = torch.zeros(BINS, dtype=torch.int64), 0, 0
    for maps in images:
        value = maps.amax(dim=0).double() if len(maps) else maps.new_zeros(0)
        if not ((value >= 0) & (value <= 1)).all():
            raise DataError(
                f"image {image_count + skipped}: a localization map has values outside [0, 1]: "
                f"normalise the maps before choosing a threshold"
            )
        if not value.any():
            skipped += 1
            continue
        bins = (value * BINS).floor().clamp(max=BINS - 1).long().flatten()
        counts += torch.bincount(bins, minlength=BINS).cpu()
        image_count += 1
    if image_count == 0:
        raise DataError(
            "no threshold can be chosen, because no image has a localization map with values above 0: "
            "check the classifier, or set the seed's threshold"
        )
    between = between_variance(counts.numpy())
    cut = best_cut(between)
    centres = (torch.arange(BINS, dtype=torch.float64) + 0.5) / BINS
    share = counts.double() / counts.sum()
    variance = float(share @ centres.square() - (share @ centres).square())
    return ThresholdChoice(
        threshold=cut / BINS,
        separability=float(between[cut - 1]) / variance if variance > 0 else 0.0,
        foreground=float(share[cut:].sum()),
        image_count=image_count,
        skipped=skipped,
    )
