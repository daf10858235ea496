"""What IRN leaves in a run folder, and how it is read; free of what only the training needs."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from advcam.data.transforms import scaled_size
from advcam.errors import DataError
from advcam.pipeline.refiner import Subject
from advcam.pipeline.run import Run
from advcam.refine.irn.inference import EdgeMap
from advcam.refine.irn.network import cells
from advcam.refine.irn_settings import STRIDE

# Folders of the network, its labels and its edge maps, by the kind of maps that it is made for.
NETWORK_OF = {"maps": "irn", "cam": "cam_irn"}
LABELS_OF = {"maps": "irn_labels", "cam": "cam_irn_labels"}
EDGES_OF = {"maps": "edges", "cam": "cam_edges"}


def stored_edges(run: Run, kind: str, subject: Subject) -> EdgeMap:
    """The edge map of an image in the run folder, one cell per 4 pixels of ``walked_size``.

    Raises:
        DataError: it is of another size than the image.
        RunError: it is missing or broken.
    """
    path = run.folder.maps(subject.record.id, EDGES_OF[kind])
    found, grid = EdgeMap.load(path), grid_of(walked_size(run, subject))
    if found.edge.shape != grid or found.displacement.shape != (2, *grid):
        raise DataError(
            f"{path} is an edge map of {found.edge.shape[1]} x {found.edge.shape[0]} cells, but its image of "
            f"{subject.size[1]} x {subject.size[0]} pixels needs {grid[1]} x {grid[0]}: delete it, and run the same "
            "again"
        )
    return found


def walked_size(run: Run, subject: Subject) -> tuple[int, int]:
    """Height and width at which an image is seen and walked."""
    return scaled_size(subject.size, run.config.irn_walk.scale)


def small_maps(run: Run, subject: Subject) -> Float[Tensor, "k h4 w4"]:
    """The maps on the grid of the edge map: as they are stored, unless the picture is walked at another size."""
    maps, grid = torch.from_numpy(subject.result.maps).float(), grid_of(walked_size(run, subject))
    if maps.shape[1:] == grid or len(maps) == 0:
        return maps
    return resized(maps, grid)


def resized(maps: Float[Tensor, "k _ _"], size: tuple[int, int]) -> Float[Tensor, "k _ _"]:
    """Maps at another height and width, bilinear with half-pixel centres."""
    return functional.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def grid_of(size: tuple[int, int]) -> tuple[int, int]:
    return cells(size[0], STRIDE), cells(size[1], STRIDE)
