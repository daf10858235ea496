"""Maps of a picture that is too large to be mapped whole, in overlapping windows of its own size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from advcam.attribute.climb import Climbed
from advcam.attribute.engine import Raw, raw_maps
from advcam.attribute.grid import STORED_STRIDE, add_scales, covered, divide_by_max, stored_size
from advcam.attribute.inputs import PictureMap
from advcam.attribute.methods import Attributor, Plain
from advcam.data.transforms import scale_image
from advcam.data.windows import window_weights, windows

# A window counts as much as its class is seen there, against the window where it is seen best; below this not at all.
LEAST = 0.01


def map_windows(
    map_: PictureMap,
    picture: UInt8[np.ndarray, "H W C"],
    classes: Sequence[int],
    attribute: Attributor,
    *,
    scales: Sequence[float],
    side: int,
    batch_pixels: int,
    softmax: bool = False,
    region: Bool[np.ndarray, "H W"] | None = None,
) -> Climbed:
    """Maps of one picture's classes, each window's raw maps averaged before each class is divided by its maximum.

    A climb makes any window show any class. So every window is looked at first: its maps count in proportion to the
    class's probability there, over that of the window where it is highest. The scores are those of that window.

    Args:
        map_, attribute, scales, batch_pixels: as for ``map_pictures``.
        classes: of the whole picture.
        side: of a window, in pixels of the picture.
        softmax: whether probabilities are those of exclusive classes.
        region: where the picture's salient object is.
    """
    size = (picture.shape[0], picture.shape[1])
    places = windows(size, side)
    logits = torch.cat(
        [raw_maps(map_, [[picture[place]]], [classes[:1]], Plain(), (1.0,), batch_pixels)[2] for place in places]
    ).float()
    chances = (logits.softmax(dim=1) if softmax else logits.sigmoid())[:, list(classes)]
    best, where = chances.max(dim=0)
    shares = (chances / best.clamp(min=torch.finfo(chances.dtype).tiny)).cpu()
    maps, cam = (torch.zeros(len(classes), *stored_size(size)) for _ in range(2))
    counted = torch.zeros(stored_size(size))
    for place, share in zip(places, shares, strict=True):
        window = picture[place]
        own = stored_size((window.shape[0], window.shape[1]))
        weights = window_weights(*own)
        rows, columns = (
            slice(span.start // STORED_STRIDE, span.start // STORED_STRIDE + length)
            for span, length in zip(place, own, strict=True)
        )
        counted[rows, columns] += weights
        if not (seen := (share >= LEAST).nonzero().flatten().tolist()):
            continue
        held = None if region is None else torch.from_numpy(region[place])[None].float().to(map_.device)
        raw, raw_cam, _ = raw_maps(
            map_,
            [[scale_image(window, scale)] for scale in scales],
            [[classes[index] for index in seen]],
            attribute,
            scales,
            batch_pixels,
            held,
        )
        stride = map_.units.stride
        factor = (share[seen, None, None] * weights).float()
        maps[seen, rows, columns] += factor * _stored_sum(raw, window.shape[:2], stride)
        cam[seen, rows, columns] += factor * _stored_sum(raw_cam, window.shape[:2], stride)
    return Climbed(divide_by_max(maps / counted), divide_by_max(cam / counted), logits[where])


def _stored_sum(raw: Raw, size: Sequence[int], stride: int) -> Float[Tensor, "n h4 w4"]:
    """The positive part of all scales' maps on every fourth pixel, as ``stored`` has them before it divides."""
    height, width = (side // STORED_STRIDE for side in covered((size[0], size[1]), max(stride, STORED_STRIDE)))
    rows, columns = stored_size((size[0], size[1]))
    return add_scales(raw, (height, width))[:, :rows, :columns].relu().float().cpu()
