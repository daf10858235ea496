"""Regions that another program wrote: label maps, stacks of masks, or COCO's run lengths (SAM, SAM 2, EntitySeg)."""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from advcam.data.images import open_picture
from advcam.data.outlines import decode_runs, runs_inside
from advcam.errors import DataError

SUFFIXES = (".png", ".npy", ".npz", ".json")


def read_regions(
    folder: Path, image_id: str, size: tuple[int, int]
) -> Bool[Tensor, "R {size[0]} {size[1]}"] | Int64[Tensor, "s {size[0]} {size[1]}"]:
    """The regions of one image, as ``advcam.refine.regions`` takes them.

    ``<id>.png``: a label map of 8 or 16 bits. ``<id>.npy``, or the first array in ``<id>.npz``: a label map, several of
    them, or a stack of Boolean masks. ``<id>.json``: a list of objects with ``segmentation`` in COCO's run lengths,
    compressed or not, by itself or as ``annotations``. Label maps have 0 where no region is.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> np.save(folder / "a.npy", np.array([[0, 1, 1], [2, 2, 1]]))
    >>> read_regions(folder, "a", (2, 3)).tolist()
    [[[0, 1, 1], [2, 2, 1]]]
    """
    path = next((p for p in (folder / f"{image_id}{suffix}" for suffix in SUFFIXES) if p.exists()), None)
    if path is None:
        raise DataError(f"{folder} has no regions of {image_id}: put {image_id}.png, .npy, .npz or .json there")
    try:
        found = _masks(path, size) if path.suffix == ".json" else _array(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: these regions cannot be read ({error}): write the file again") from error
    stack = found if found.ndim == 3 else found[None]
    if stack.ndim != 3 or stack.shape[1:] != size:
        raise DataError(
            f"{path}: the regions have shape {found.shape}, but the image has {size[0]} x {size[1]} pixels: "
            "make them at the image's own size"
        )
    if stack.dtype == bool:
        return torch.from_numpy(stack)
    if not np.issubdtype(stack.dtype, np.integer):
        raise DataError(f"{path}: regions are whole numbers or true and false, not {stack.dtype}")
    return torch.from_numpy(stack.astype(np.int64))


def _array(path: Path) -> np.ndarray:
    if path.suffix == ".png":
        with open_picture(path) as image:
            if image.mode not in ("L", "P", "I", "I;16", "1"):
                raise ValueError(f"an image of mode {image.mode} is no label map")
            return np.asarray(image)
    loaded = np.load(path, allow_pickle=False)
    return loaded if isinstance(loaded, np.ndarray) else next(iter(loaded.values()))


def _masks(path: Path, size: tuple[int, int]) -> Bool[np.ndarray, "R H W"]:
    content: Any = json.loads(path.read_text(encoding="utf-8"))
    objects = content["annotations"] if isinstance(content, dict) else content
    masks = []
    for item in objects:
        shape = item["segmentation"]
        counts, (height, width) = shape["counts"], shape["size"]
        runs = decode_runs(counts, height * width) if isinstance(counts, str) else array("I", counts)
        masks.append(runs_inside(runs, (height, width)))
    return np.stack(masks) if masks else np.zeros((0, *size), bool)
