"""IRN's random walk two ways, from the same maps and the same edge map, affinities included."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from advcam.refine.irn import path_affinities, propagate
from advcam.refine.pairs import pair_offsets, surround

RADIUS, BETA, EXP_TIMES = 5, 10, 8


def scene(height: int, width: int, num_classes: int) -> tuple[Float[Tensor, "k h w"], Float[Tensor, "h w"]]:
    """Smooth blobs as class maps, and thin closed contours as an edge map."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, num_classes + 1, height, width, generator=generator)
    smooth = torch.nn.functional.avg_pool2d(noise, 15, stride=1, padding=7, count_include_pad=False)[0] * 15
    return smooth[1:].relu() / smooth[1:].amax(dim=(1, 2), keepdim=True), torch.exp(-10 * smooth[0].abs())


def sparse(maps: Float[Tensor, "k h w"], edge: Float[Tensor, "h w"], squarings: int) -> Float[Tensor, "k h w"]:
    """By steps along the walk, as ``advcam.refine.irn`` does."""
    return propagate(maps, edge, radius=RADIUS, beta=BETA, exp_times=squarings)


def dense(maps: Float[Tensor, "k h w"], edge: Float[Tensor, "h w"], squarings: int) -> Float[Tensor, "k h w"]:
    """By squaring the dense transition matrix, as the reference programs do."""
    height, width = edge.shape
    affinities = path_affinities(surround(edge, RADIUS, 1.0), RADIUS)
    cells = torch.arange(height * width).reshape(height, width)
    matrix = torch.eye(height * width, dtype=edge.dtype)
    for (dy, dx), values in zip(pair_offsets(RADIUS), affinities, strict=True):
        rows, columns = slice(0, max(height - dy, 0)), slice(max(0, -dx), width - max(0, dx))
        source = cells[rows, columns].flatten()
        destination = source + dy * width + dx
        matrix[source, destination] = matrix[destination, source] = values[rows, columns].flatten()
    matrix.pow_(BETA)
    matrix /= matrix.sum(dim=0)
    spare = torch.empty_like(matrix)
    for _ in range(squarings):
        torch.matmul(matrix, matrix, out=spare)
        matrix, spare = spare, matrix
    return ((maps * (1 - edge)).flatten(1) @ matrix).reshape(maps.shape)
