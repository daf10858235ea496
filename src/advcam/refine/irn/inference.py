"""What a trained IRN says of one image, and how it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float16, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from advcam.data.transforms import normalize
from advcam.errors import DataError
from advcam.io.arrays import reading_arrays, write_arrays
from advcam.models.weights import finite
from advcam.refine.irn.network import IRNNetwork, cells
from advcam.refine.irn.propagation import image_scores, propagate
from advcam.refine.irn_settings import STRIDE, IRNWalkSettings


@dataclass(frozen=True)
class EdgeMap:
    """Edges and displacements of one image, one cell per 4 pixels. Half precision: eight bits would be too coarse for
    the tenth power of an affinity."""

    edge: Float16[np.ndarray, "h w"]
    """Probability of a boundary between classes, in [0, 1]."""
    displacement: Float16[np.ndarray, "2 h w"]
    """``(dy, dx)`` in cells, the mean over the data set taken off."""

    def save(self, path: Path) -> None:
        """Write ``path`` (npz, no pickle) in one go."""
        write_arrays(path, {"edge": self.edge, "displacement": self.displacement})

    @classmethod
    def load(cls, path: Path, size: tuple[int, int] | None = None) -> EdgeMap:
        """Read what ``save`` wrote.

        Args:
            size: height and width of the image at which it must have been made.
        """
        with reading_arrays(path, "edge map", "refine") as arrays:
            found = cls(arrays["edge"].astype(np.float16), arrays["displacement"].astype(np.float16))
            if not all(np.isfinite(values).all() for values in (found.edge, found.displacement)):
                raise ValueError("it has NaN or infinity in it")
        if size is not None and (
            found.edge.shape != grid_of(size) or found.displacement.shape != (2, *found.edge.shape)
        ):
            (rows, columns), (height, width) = found.edge.shape, grid_of(size)
            raise DataError(
                f"{path} is an edge map of {columns} x {rows} cells, but its image of {size[1]} x {size[0]} pixels "
                f"needs {width} x {height}: delete it, and run the same again"
            )
        return found


@torch.no_grad()
def edge_map(network: IRNNetwork, image: UInt8[np.ndarray, "H W 3"], pad: int = 512) -> EdgeMap:
    """The edges of an image at its own size, from it and its mirror image; the displacements from the image alone.

    The logits of the two views are averaged before the sigmoid, as in IRN's program.

    Args:
        network: in evaluation mode.
        pad: the image is filled up to so many pixels per side; 0 leaves it as it is.
    """
    taps = network.taps
    views = torch.stack(
        [filled_up(np.ascontiguousarray(view), (pad, pad), taps.mean, taps.std) for view in (image, image[:, ::-1])]
    )
    output = network(views.to(network.mean_shift.device))
    finite(output.edge_logits, "the edges of IRN's network")
    finite(output.displacements, "the displacements of IRN's network")
    rows, columns = grid_of(image.shape[:2])
    straight, mirrored = output.edge_logits[:, :rows, :columns]
    edge = ((straight + mirrored.flip(-1)) / 2).sigmoid()
    return EdgeMap(
        edge.float().cpu().numpy().astype(np.float16),
        output.displacements[0, :, :rows, :columns].float().cpu().numpy().astype(np.float16),
    )


def grid_of(size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the edge map of an image of a height and width."""
    return cells(size[0], STRIDE), cells(size[1], STRIDE)


def on_grid(maps: Float[Tensor, "k h4 w4"], size: tuple[int, int]) -> Float[Tensor, "k h w"]:
    """Stored maps on the grid of the edge map: as they are, unless the picture is walked at another size."""
    grid = grid_of(size)
    return maps if maps.shape[1:] == grid or len(maps) == 0 else bilinear(maps, grid)


def bilinear(maps: Float[Tensor, "k _ _"], size: tuple[int, int]) -> Float[Tensor, "k _ _"]:
    """Maps at another height and width, with half-pixel centres."""
    return interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def walked_scores(
    maps: Float[Tensor, "k h4 w4"],
    edge: Float[Tensor, "h w"],
    seen: tuple[int, int],
    size: tuple[int, int],
    walk: IRNWalkSettings,
) -> Float[Tensor, "k H W"]:
    """Maps after the walk, at the size of the image, in [0, 1].

    Args:
        maps: as they are stored.
        edge: of the image at the height and width ``seen``, on the device that walks.
        seen, size: height and width at which the image is walked, and of the result.
    """
    found = propagate(
        on_grid(maps, seen).to(edge.device) ** walk.power,
        edge,
        radius=walk.radius,
        beta=walk.beta,
        exp_times=walk.exp_times,
    )
    scores = image_scores(found, seen).cpu()
    return scores if scores.shape[1:] == size else bilinear(scores, size)


def filled_up(
    image: UInt8[np.ndarray, "H W 3"], size: tuple[int, int], mean: Sequence[float], std: Sequence[float]
) -> Float[Tensor, "3 h w"]:
    """A normalised image in the top left corner of zeros, which are the mean colour, at least ``size`` large."""
    height, width = image.shape[:2]
    filled = torch.zeros(3, max(height, size[0]), max(width, size[1]))
    filled[:, :height, :width] = torch.from_numpy(normalize(image, mean, std))
    return filled
