"""The pixels that climb: both views of every image, in the network's own memory order, and one update of them (eq. 6).

Shape suffixes: N pairs of (image, class) or images, V views (the image, and its mirror image), H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from advcam.attribute.objective import EPS
from advcam.attribute.pairs import mirror
from advcam.attribute.settings import ClimbSettings
from advcam.models.mapper import ClassMapper

# Everything that belongs to one pair.
OWN = (1, 2, 3, 4)


def views(images_N3HW: Float[Tensor, "n 3 H W"], flip: bool, order: torch.memory_format) -> Float[Tensor, "n v 3 H W"]:
    """The images as a pair with their mirror images, or alone; each in the given memory order."""
    pair_NV3HW = torch.stack([images_N3HW, mirror(images_N3HW)], dim=1) if flip else images_N3HW[:, None]
    return in_order(pair_NV3HW, order)


def in_order(x_NV3HW: Float[Tensor, "n v 3 H W"], order: torch.memory_format) -> Float[Tensor, "n v 3 H W"]:
    """The same values, each view in the given memory order; a copy only where they are in another."""
    return x_NV3HW.flatten(0, 1).contiguous(memory_format=order).unflatten(0, x_NV3HW.shape[:2])


def memory_order(mapper: ClassMapper) -> torch.memory_format:
    """The order that the network's convolutions hold their weights in; pixels in another are copied at every pass."""
    filters = [p for p in mapper.features.parameters() if p.ndim == 4 and p.shape[1] > 1 and p[0, 0].numel() > 1]
    last = bool(filters) and all(p.is_contiguous(memory_format=torch.channels_last) for p in filters)
    return torch.channels_last if last else torch.contiguous_format


def class_maps(mapper: ClassMapper, x_NV3HW: Float[Tensor, "n v 3 H W"]) -> Float[Tensor, "n v K h w"]:
    """Signed class maps of all views."""
    return mapper.class_maps(x_NV3HW.flatten(0, 1)).unflatten(0, x_NV3HW.shape[:2])


def input_gradients(
    objective_N: Float[Tensor, " n"], x_MV3HW: Float[Tensor, "m v 3 H W"], owners: Sequence[int]
) -> Float[Tensor, "n v 3 H W"]:
    """The gradient of each pair's objective to the pixels of its image, from one forward pass of the images.

    Pairs of one image share its forward pass, so their gradients are taken one after the other: first those of every
    image's first class, then of its second, and so on. No class is passed back for an image that has fewer, as long
    as all images have equally many.
    """
    if list(owners) == list(range(len(x_MV3HW))):
        return torch.autograd.grad(objective_N.sum(), x_MV3HW)[0]
    turns: list[list[int]] = []
    seen: dict[int, int] = {}
    for pair, owner in enumerate(owners):
        turn = seen[owner] = seen.get(owner, -1) + 1
        turns += [[]] if turn == len(turns) else []
        turns[turn].append(pair)
    g_NV3HW = x_MV3HW.new_empty((len(owners), *x_MV3HW.shape[1:]))
    for index, pairs in enumerate(turns):
        (g_MV3HW,) = torch.autograd.grad(objective_N[pairs].sum(), x_MV3HW, retain_graph=index + 1 < len(turns))
        g_NV3HW[pairs] = g_MV3HW[[owners[pair] for pair in pairs]]
    return g_NV3HW


def move(
    x_NV3HW: Float[Tensor, "n v 3 H W"], g_NV3HW: Float[Tensor, "n v 3 H W"], settings: ClimbSettings
) -> Float[Tensor, "n v 3 H W"]:
    """One update of the pixels (eq. 6), as the settings bound it."""
    # A minimum and a maximum are several times as fast as one call for both, and as a norm.
    if settings.normalize_gradient:
        largest_N = torch.maximum(g_NV3HW.amax(OWN, keepdim=True), -g_NV3HW.amin(OWN, keepdim=True))
        moved_NV3HW = torch.addcmul(x_NV3HW, g_NV3HW, settings.step_size / (largest_N + EPS))
    else:
        moved_NV3HW = torch.add(x_NV3HW, g_NV3HW, alpha=settings.step_size)
    if not settings.clamp:
        return moved_NV3HW
    # The program keeps the bounds in single precision whatever the images are in.
    low_N, high_N = (
        bound.float().to(x_NV3HW.dtype) for bound in (x_NV3HW.amin(OWN, keepdim=True), x_NV3HW.amax(OWN, keepdim=True))
    )
    torch.maximum(moved_NV3HW, low_N, out=moved_NV3HW)
    return torch.minimum(moved_NV3HW, high_N, out=moved_NV3HW)
