"""What climbs: every image and its mirror image, and one update of them (eq. 6).

Shape suffixes: N pairs of (image, class), V views (the image, and its mirror image), C channels of what climbs, H W its
pixels.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from advcam.attribute.objective import EPS
from advcam.attribute.pairs import mirror

# Everything that belongs to one pair.
OWN = (1, 2, 3, 4)


def views(images_NCHW: Float[Tensor, "n C H W"], flip: bool) -> Float[Tensor, "n v C H W"]:
    """The images as a pair with their mirror images, or alone; each in the memory order that the images have."""
    pair_NVCHW = torch.stack([images_NCHW, mirror(images_NCHW)], dim=1) if flip else images_NCHW[:, None]
    return in_order(pair_NVCHW, order_of(images_NCHW))


def order_of(images_NCHW: Float[Tensor, "n C H W"]) -> torch.memory_format:
    """Channels last where the images are held so and not otherwise."""
    plain = images_NCHW.is_contiguous()
    last = not plain and images_NCHW.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def in_order(x_NVCHW: Float[Tensor, "n v C H W"], order: torch.memory_format) -> Float[Tensor, "n v C H W"]:
    """The same values, each view in the given memory order; a copy only where they are in another."""
    return x_NVCHW.flatten(0, 1).contiguous(memory_format=order).unflatten(0, x_NVCHW.shape[:2])


def move(
    x_NVCHW: Float[Tensor, "n v C H W"],
    g_NVCHW: Float[Tensor, "n v C H W"],
    step_size: float,
    *,
    normalize: bool,
    clamp: bool,
) -> Float[Tensor, "n v C H W"]:
    """One update (eq. 6): along the gradient, divided by its largest magnitude over the pair with ``normalize``, and
    with ``clamp`` kept within the pair's own range of values."""
    # A minimum and a maximum are several times as fast as one call for both, and as a norm.
    if normalize:
        largest_N = torch.maximum(g_NVCHW.amax(OWN, keepdim=True), -g_NVCHW.amin(OWN, keepdim=True))
        # The factor of a small gradient is beyond half precision.
        wide = torch.promote_types(x_NVCHW.dtype, torch.float32)
        moved_NVCHW = torch.addcmul(x_NVCHW.to(wide), g_NVCHW.to(wide), step_size / (largest_N.to(wide) + EPS))
        moved_NVCHW = moved_NVCHW.to(x_NVCHW.dtype)
    else:
        moved_NVCHW = torch.add(x_NVCHW, g_NVCHW, alpha=step_size)
    if not clamp:
        return moved_NVCHW
    # The program keeps the bounds in single precision whatever the images are in.
    low_N, high_N = (
        bound.float().to(x_NVCHW.dtype) for bound in (x_NVCHW.amin(OWN, keepdim=True), x_NVCHW.amax(OWN, keepdim=True))
    )
    torch.maximum(moved_NVCHW, low_N, out=moved_NVCHW)
    return torch.minimum(moved_NVCHW, high_N, out=moved_NVCHW)
