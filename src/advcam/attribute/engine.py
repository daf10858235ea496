"""Maps of several pictures of one size and all their classes, over all scales. No files, no progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from advcam.attribute.climb import Climbed
from advcam.attribute.grid import divide_by_max, stored
from advcam.attribute.inputs import PictureMap, to_inputs
from advcam.attribute.methods import Attributor, joined
from advcam.attribute.pairs import as_classes


def map_pictures(
    map_: PictureMap,
    pictures: Sequence[Sequence[UInt8[np.ndarray, "_ _ _"]]],
    classes: Sequence[Sequence[int]],
    attribute: Attributor,
    *,
    scales: Sequence[float],
    size: tuple[int, int],
    batch_pixels: int,
    saliency: Float[Tensor, "p _ _"] | None = None,
) -> Climbed:
    """Map pictures of one size; what a picture's map becomes depends on the batch in its last bits at most.

    Args:
        map_: of the network.
        pictures: for every scale, the pictures at that scale.
        classes: for every picture, its classes.
        attribute: the method.
        scales: the factors that the pictures were scaled by.
        size: height and width that the stored maps refer to.
        batch_pixels: pixels in one batch, views counted; a batch holds at least one pair.
        saliency: for every picture its salient-object map in [0, 1], of one size that need not be that of a scale.

    Returns:
        Stored-size maps of all (picture, class) pairs, in the order of the pictures and of their classes: the method's
        and the plain ones, each divided by its maximum, zero everywhere where a class is not seen; and the scores at
        the scale nearest to the pictures' own size.
    """
    raw, raw_cam, logits_NK = raw_maps(map_, pictures, classes, attribute, scales, batch_pixels, saliency)
    stride = map_.units.stride
    return Climbed(stored(raw, size, stride), stored(raw_cam, size, stride), logits_NK)


def guided(found: Climbed, guide: Climbed) -> Climbed:
    """Maps, climbed and plain, times the plain maps of another network, under the root: their geometric mean.

    Each is divided by its maximum. A map stays where the guide sees nothing of it.

    Args:
        found: of the network that climbs; its scores are kept.
        guide: of the same pairs on the same grid.
    """

    def joined_with(maps: Float[Tensor, "n h4 w4"]) -> Float[Tensor, "n h4 w4"]:
        product = divide_by_max((maps.relu() * guide.cam.relu()).sqrt())
        return torch.where(product.amax(dim=(1, 2), keepdim=True) > 0, product, maps)

    return replace(found, maps=joined_with(found.maps), cam=joined_with(found.cam))


Raw = list[Float[Tensor, "n _ _"]]


def raw_maps(
    map_: PictureMap,
    pictures: Sequence[Sequence[UInt8[np.ndarray, "_ _ _"]]],
    classes: Sequence[Sequence[int]],
    attribute: Attributor,
    scales: Sequence[float],
    batch_pixels: int,
    saliency: Float[Tensor, "p _ _"] | None = None,
) -> tuple[Raw, Raw, Float[Tensor, "n K"]]:
    """Maps on the network's grid at every scale, the plain ones likewise, and the scores; see ``map_pictures``."""
    owners = [index for index, own in enumerate(classes) for _ in own]
    nearest = min(scales, key=lambda scale: abs(scale - 1))
    raw, raw_cam = [], []
    for scale, at_scale in zip(scales, pictures, strict=True):
        inputs_M3HW = to_inputs(at_scale, map_)
        targets = as_classes([target for own in classes for target in own], inputs_M3HW.device)
        places = torch.tensor(owners, device=inputs_M3HW.device)
        batch = max(1, batch_pixels // (attribute.views * inputs_M3HW[0, 0].numel()))
        # A batch holds pairs, or images with all their pairs where these share a pass.
        turns = [place // batch for place in (owners if attribute.shares(map_) else range(len(owners)))]
        parts = []
        for _, pairs in groupby(range(len(owners)), key=turns.__getitem__):
            own = list(pairs)
            parts.append(attribute(map_, inputs_M3HW, places[own], targets[own], scale, saliency))
        found = joined(parts)
        raw.append(found.maps)
        raw_cam.append(found.cam)
        if scale == nearest:
            logits_NK = found.logits
    return raw, raw_cam, logits_NK
