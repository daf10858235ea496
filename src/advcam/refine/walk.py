"""The random walk on a grid of cells, by sparse steps: IRN and PSA differ only in the affinities they walk on.

The reference programs build the ``N x N`` transition matrix of all ``N = h * w`` cells and square it. Each cell has
links only to the cells closer than a radius, so here the few class maps take the steps one after another, and nothing
larger than one plane per offset is ever stored. Shape suffixes: ``n`` images, ``k`` class maps, ``o`` offsets of a
radius (``pairs.pair_offsets``), ``h w`` the grid.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from advcam.errors import DataError, SettingsError
from advcam.kernels import compiled
from advcam.refine.pairs import pair_offsets, radius_of, window_at


@torch.no_grad()
def random_walk(
    scores: Float[Tensor, "*n k h w"], links: Float[Tensor, "*m o h_links w_links"], steps: int
) -> Float[Tensor, "*n k h w"]:
    """The scores after ``steps`` steps: ``vec(scores) T^steps``, ``T`` the links divided by their column sums.

    One step replaces each score by the mean of its own cell and all linked cells, weighted by the links. So a constant
    map stays as it is, no map leaves its range, and the sum of the scores weighted by the column sums is conserved.
    Leading dimensions are images; an image's result does not depend on the others'. CPU tensors take a compiled
    kernel, which releases the interpreter lock; other devices take tensor operations. Half precision is walked in
    single precision. No gradient.

    Args:
        scores: one map per class, not negative.
        links: ``links[o, y, x]`` joins cell ``(y, x)`` and cell ``(y, x) + pair_offsets(radius)[o]``, both ways; zero
            where there is no link or no such cell. Not negative. Each cell is linked to itself with weight 1.
        steps: number of steps, ``2^8`` in both papers.

    >>> scores = torch.tensor([[[1.0, 0.0, 0.0]]])
    >>> links = torch.zeros(4, 1, 3)
    >>> links[0, 0, 0] = 1.0  # between the first and the second cell
    >>> random_walk(scores, links, steps=1)
    tensor([[[0.5000, 0.5000, 0.0000]]])
    """
    if links.shape[:-3] != scores.shape[:-3] or links.shape[-2:] != scores.shape[-2:]:
        raise DataError(
            f"the affinities are of shape {tuple(links.shape)}, but the scores of shape {tuple(scores.shape)}: "
            "both must be of the same images and the same grid"
        )
    if not bool(scores.isfinite().all()):
        raise DataError("the scores have values that are not finite: a random walk would spread them")
    if not bool((links >= 0).all()):
        raise DataError("the affinities have negative values or none: give values in [0, 1]")
    if steps < 1:
        raise SettingsError(f"a random walk takes at least 1 step, not {steps}")
    radius = radius_of(links.shape[-3])
    if scores.numel() == 0:
        return scores.clone()
    dtype = torch.promote_types(torch.promote_types(scores.dtype, links.dtype), torch.float32)
    scores_NKHW = scores.to(dtype).reshape(-1, *scores.shape[-3:])
    links_NOHW = links.to(dtype).reshape(-1, *links.shape[-3:])
    walk = _walk_compiled if scores.device.type == "cpu" else _walk_tensors
    return walk(scores_NKHW, links_NOHW, radius, steps).reshape(scores.shape).to(scores.dtype)


def upscale(scores: Float[Tensor, "*n k h w"], stride: int, size: tuple[int, int]) -> Float[Tensor, "*n k H W"]:
    """Scores of a grid brought to the image: bilinear by ``stride`` (half-pixel centres), cropped to ``size``.

    Args:
        stride: pixels per cell, 4 for IRN and 8 for PSA.
    """
    height, width = scores.shape[-2] * stride, scores.shape[-1] * stride
    if size[0] > height or size[1] > width:
        raise DataError(
            f"scores of {scores.shape[-2]} x {scores.shape[-1]} cells at stride {stride} cover {height} x {width} "
            f"pixels, less than the image's {size[0]} x {size[1]}: compute them from this image"
        )
    flat = scores.reshape(-1, 1, *scores.shape[-2:])
    wide = functional.interpolate(flat, size=(height, width), mode="bilinear", align_corners=False)
    return wide[..., : size[0], : size[1]].reshape(*scores.shape[:-2], *size)


def _walk_compiled(scores_NKHW: Tensor, links_NOHW: Tensor, radius: int, steps: int) -> Tensor:
    offsets = np.array(pair_offsets(radius))
    walked = []
    for scores_KHW, links_OHW in zip(scores_NKHW.contiguous().numpy(), links_NOHW.contiguous().numpy(), strict=True):
        # Column sums, as one step of ones. Their rounding comes back in every step, so they are in double precision.
        ones_1HW = np.ones((1, *links_OHW.shape[1:]))
        sums_1HW = _take_steps(ones_1HW, links_OHW.astype(np.float64), ones_1HW[0], offsets, 1)
        shares_HW = (1 / sums_1HW[0]).astype(scores_KHW.dtype)
        walked.append(_take_steps(scores_KHW, links_OHW, shares_HW, offsets, steps))
    return torch.from_numpy(np.stack(walked))


# "contract" allows fused multiply-add and nothing else: sums keep their order, so results are reproducible.
@compiled(nogil=True, fastmath={"contract"})
@no_type_check
def _take_steps(scores, links, shares, offsets, steps):
    """Each step: a cell's own score plus what comes over its links, times its share."""
    num_classes, height, width = scores.shape
    now = scores
    for _ in range(steps):
        after = now.copy()
        for y in range(height):
            for o in range(len(offsets)):
                dy, dx = offsets[o, 0], offsets[o, 1]
                if y + dy >= height:
                    break
                first, size = max(0, -dx), max(0, width - abs(dx))
                link = links[o, y, first : first + size]
                # Plain loops over slices of rows, which the compiler vectorises; a link is followed both ways.
                for k in range(num_classes):
                    here = now[k, y, first : first + size]
                    there = now[k, y + dy, first + dx : first + dx + size]
                    to_here = after[k, y, first : first + size]
                    to_there = after[k, y + dy, first + dx : first + dx + size]
                    for x in range(size):
                        to_here[x] += link[x] * there[x]
                    for x in range(size):
                        to_there[x] += link[x] * here[x]
            # Links only lead down or along a row: nothing more comes to this one.
            share = shares[y]
            for k in range(num_classes):
                row = after[k, y]
                for x in range(width):
                    row[x] *= share[x]
        now = after
    return now


def _walk_tensors(scores_NKHW: Tensor, links_NOHW: Tensor, radius: int, steps: int) -> Tensor:
    reach, offsets = radius - 1, pair_offsets(radius)
    padded_NOHW = functional.pad(links_NOHW, (reach,) * 4)
    back = [window_at(padded_NOHW[:, o], _opposite(offset), reach) for o, offset in enumerate(offsets)]
    weights = torch.cat([torch.ones_like(links_NOHW[:, :1]), links_NOHW, torch.stack(back, dim=1)], dim=1)
    weights = (weights / weights.sum(dim=1, keepdim=True)).unsqueeze(1)

    padded_NKHW = functional.pad(scores_NKHW, (reach,) * 4)
    walked_NKHW = window_at(padded_NKHW, (0, 0), reach)
    cells = torch.arange(padded_NKHW[0, 0].numel(), device=scores_NKHW.device).view(padded_NKHW.shape[-2:])
    neighbours = torch.stack(
        [window_at(cells, offset, reach) for offset in ((0, 0), *offsets, *map(_opposite, offsets))]
    )
    for _ in range(steps):
        walked_NKHW.copy_((weights * padded_NKHW.flatten(2)[..., neighbours]).sum(dim=2))
    return walked_NKHW


def _opposite(offset: tuple[int, int]) -> tuple[int, int]:
    return -offset[0], -offset[1]
