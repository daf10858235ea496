"""What climbs: both views of every image, as pixels or as a feature map of theirs, and one update of them (eq. 6).

Shape suffixes: N pairs of (image, class) or images, V views (the image, and its mirror image), C channels of what
climbs, H W its pixels or cells.
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


def in_order(x_NVCHW: Float[Tensor, "n v C H W"], order: torch.memory_format) -> Float[Tensor, "n v C H W"]:
    """The same values, each view in the given memory order; a copy only where they are in another."""
    return x_NVCHW.flatten(0, 1).contiguous(memory_format=order).unflatten(0, x_NVCHW.shape[:2])


def memory_order(mapper: ClassMapper) -> torch.memory_format:
    """The order that the network's convolutions hold their weights in; pixels in another are copied at every pass."""
    filters = [p for p in mapper.parameters() if p.ndim == 4 and p.shape[1] > 1 and p[0, 0].numel() > 1]
    last = bool(filters) and all(p.is_contiguous(memory_format=torch.channels_last) for p in filters)
    return torch.channels_last if last else torch.contiguous_format


def start(
    mapper: ClassMapper, x_NV3HW: Float[Tensor, "n v 3 H W"]
) -> tuple[Float[Tensor, "n v _ _ _"], Float[Tensor, "n 1 1 1 1"] | None]:
    """What is climbed, the pixels or the feature map that the network is cut at, and the unit of a step in it.

    Pixels have the unit of the network's input. A feature map has none of its own: there a step is measured in
    standard deviations of the pair's values, which for pixels with ImageNet's normalisation are about 1.
    """
    if mapper.layer is None:
        return x_NV3HW, None
    with torch.no_grad():
        f_NVChw = mapper.stem(x_NV3HW.flatten(0, 1)).unflatten(0, x_NV3HW.shape[:2])
    return f_NVChw, f_NVChw.std(OWN, keepdim=True)


def class_maps(mapper: ClassMapper, x_NVCHW: Float[Tensor, "n v _ _ _"]) -> Float[Tensor, "n v K h w"]:
    """Signed class maps of all views, from what is climbed."""
    return mapper.maps_from(x_NVCHW.flatten(0, 1)).unflatten(0, x_NVCHW.shape[:2])


def input_gradients(
    objective_N: Float[Tensor, " n"], x_MVCHW: Float[Tensor, "m v C H W"], owners: Sequence[int]
) -> Float[Tensor, "n v C H W"]:
    """The gradient of each pair's objective to the pixels of its image, from one forward pass of the images.

    Pairs of one image share its forward pass, so their gradients are taken one after the other: first those of every
    image's first class, then of its second, and so on. No class is passed back for an image that has fewer, as long
    as all images have equally many.
    """
    if list(owners) == list(range(len(x_MVCHW))):
        return torch.autograd.grad(objective_N.sum(), x_MVCHW)[0]
    turns: list[list[int]] = []
    seen: dict[int, int] = {}
    for pair, owner in enumerate(owners):
        turn = seen[owner] = seen.get(owner, -1) + 1
        turns += [[]] if turn == len(turns) else []
        turns[turn].append(pair)
    g_NVCHW = x_MVCHW.new_empty((len(owners), *x_MVCHW.shape[1:]))
    for index, pairs in enumerate(turns):
        (g_MVCHW,) = torch.autograd.grad(objective_N[pairs].sum(), x_MVCHW, retain_graph=index + 1 < len(turns))
        g_NVCHW[pairs] = g_MVCHW[[owners[pair] for pair in pairs]]
    return g_NVCHW


def move(
    x_NVCHW: Float[Tensor, "n v C H W"],
    g_NVCHW: Float[Tensor, "n v C H W"],
    settings: ClimbSettings,
    unit_N: Float[Tensor, "n 1 1 1 1"] | None = None,
) -> Float[Tensor, "n v C H W"]:
    """One update of what is climbed (eq. 6), as the settings bound it.

    With a unit u the climb is that of x / u, whose gradient is u times that of x.
    """
    # A minimum and a maximum are several times as fast as one call for both, and as a norm.
    if settings.normalize_gradient:
        largest_N = torch.maximum(g_NVCHW.amax(OWN, keepdim=True), -g_NVCHW.amin(OWN, keepdim=True))
        size_N = settings.step_size / (largest_N + EPS)
        moved_NVCHW = torch.addcmul(x_NVCHW, g_NVCHW, size_N if unit_N is None else size_N * unit_N)
    elif unit_N is None:
        moved_NVCHW = torch.add(x_NVCHW, g_NVCHW, alpha=settings.step_size)
    else:
        moved_NVCHW = torch.addcmul(x_NVCHW, g_NVCHW, settings.step_size * unit_N**2)
    if not settings.clamp:
        return moved_NVCHW
    # The program keeps the bounds in single precision whatever the images are in.
    low_N, high_N = (
        bound.float().to(x_NVCHW.dtype) for bound in (x_NVCHW.amin(OWN, keepdim=True), x_NVCHW.amax(OWN, keepdim=True))
    )
    torch.maximum(moved_NVCHW, low_N, out=moved_NVCHW)
    return torch.minimum(moved_NVCHW, high_N, out=moved_NVCHW)
