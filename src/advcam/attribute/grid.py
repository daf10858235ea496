"""The one way from a network's cells to the pixels of a picture.

The authors' program has two modes, and both are here under its names. ``high_res`` enlarges a map over as many whole
cells as cover the picture and crops: it lies over the picture. ``cam`` squeezes the same cells into every fourth pixel,
which moves the last rows by up to a cell (at a height of 375 pixels its row 337 shows row 344). Seeds and labels come
from the first in the program, random walks start from the second.

A run keeps ``stored`` maps: every fourth pixel of what ``high_res`` shows, which ``full_size`` brings back.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

# The program's guard in the division by the maximum.
EPS = 1e-5
# Maps are kept on every fourth pixel, and the authors' network has cells of 16.
STORED_STRIDE = 4
FULL_STRIDE = 16


def high_res(
    raw: Sequence[Float[Tensor, "n _ _"]], size: tuple[int, int], stride: int = FULL_STRIDE
) -> Float[Tensor, "n H W"]:
    """Raw maps of all scales added at the picture's size and divided by each one's maximum: in [0, 1].

    Args:
        raw: maps on the network's grid, those of each scale in turn.
        size: height and width of the picture in pixels.
        stride: pixels per cell of the network at scale 1. The program takes 16 for every network.

    >>> import torch
    >>> high_res([torch.rand(2, 3, 4)], (40, 50)).shape
    torch.Size([2, 40, 50])
    """
    height, width = covered(size, stride)
    return divide_by_max(add_scales(raw, (height, width))[:, : size[0], : size[1]])


def cam(raw: Sequence[Float[Tensor, "n _ _"]], size: tuple[int, int]) -> Float[Tensor, "n h4 w4"]:
    """Raw maps of all scales added on every fourth pixel, as the program stores them: in [0, 1]."""
    return divide_by_max(add_scales(raw, stored_size(size)))


def stored(
    raw: Sequence[Float[Tensor, "n _ _"]], size: tuple[int, int], stride: int = FULL_STRIDE
) -> Float[Tensor, "n h4 w4"]:
    """Every fourth pixel of ``high_res``: cell j lies over pixels 4 j to 4 j + 3 of the picture. In [0, 1]."""
    height, width = (side // STORED_STRIDE for side in covered(size, max(stride, STORED_STRIDE)))
    rows, columns = stored_size(size)
    return divide_by_max(add_scales(raw, (height, width))[:, :rows, :columns])


def full_size(maps: Float[Tensor, "n h4 w4"], size: tuple[int, int]) -> Float[Tensor, "n H W"]:
    """Stored maps at the picture's size, each with the maximum it had: four times larger and cropped."""
    height, width = (side * STORED_STRIDE for side in maps.shape[1:])
    full = interpolate(maps[:, None], (height, width), mode="bilinear", align_corners=False)[:, 0]
    return full[:, : size[0], : size[1]]


def stored_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the stored maps of a picture: every fourth pixel."""
    return (size[0] - 1) // STORED_STRIDE + 1, (size[1] - 1) // STORED_STRIDE + 1


def covered(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Pixels that whole cells cover.

    >>> covered((375, 500), 16)
    (384, 512)
    """
    return ((size[0] - 1) // stride + 1) * stride, ((size[1] - 1) // stride + 1) * stride


def add_scales(raw: Sequence[Float[Tensor, "n _ _"]], size: tuple[int, int]) -> Float[Tensor, "n h w"]:
    """Each scale's maps brought to one size (bilinear, half-pixel centres) and added."""
    first, *others = (interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0] for maps in raw)
    return sum(others, start=first)


def divide_by_max(maps: Float[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """Each map's positive part over its maximum; zeros stay zeros."""
    maps = maps.relu()
    return maps / (maps.amax(dim=(1, 2), keepdim=True) + EPS)
