"""The run's saliency maps as the stages after them read them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from advcam.data.record import Record
from advcam.errors import RunError
from advcam.pipeline.run import Run
from advcam.refine.ambiguity import without_ambiguous
from advcam.saliency.folder import few, read_map
from advcam.saliency.threshold import salient


def salient_region(run: Run, record: Record, size: tuple[int, int]) -> Bool[np.ndarray, "H W"] | None:
    """Where the run's saliency map of an image sees an object, by ``saliency.rule``, at a height and width.

    None where the image has no map, as ``saliency.missing`` allows, and where its map shows no object at all: such a
    map says nothing of an image whose label says that there is one.
    """
    path = run.folder.saliency(record.id)
    if not path.exists():
        return None
    found = salient(read_map(path, size), run.config.saliency.rule, run.config.saliency.threshold)
    return found if found.any() else None


def held_regions(regions: list[Bool[np.ndarray, "_ _"] | None], size: tuple[int, int]) -> Float[Tensor, "p H W"] | None:
    """The saliency that the engine takes, for pictures of one size; None where no picture has any.

    A picture without a region is salient everywhere: nothing of its maps is held.
    """
    if all(region is None for region in regions):
        return None
    full = np.ones(size, bool)
    return torch.from_numpy(np.stack([full if region is None else region for region in regions])).float()


def settled(run: Run, record: Record, mask: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """A finished mask, with ``refine.ambiguity`` without the pixels on which label and saliency disagree."""
    if not run.config.refine.ambiguity:
        return mask
    region = salient_region(run, record, (mask.shape[0], mask.shape[1]))
    return mask if region is None else without_ambiguous(mask, region)


def reduced_saliency(run: Run, record: Record, size: tuple[int, int]) -> UInt8[np.ndarray, "h w"] | None:
    """The run's saliency map of an image at a smaller size, to look at; None where there is none."""
    path = run.folder.saliency(record.id)
    return np.rint(read_map(path, size) * 255).astype(np.uint8) if path.exists() else None


def saliency_facts(run: Run) -> dict[str, Any] | None:
    """What results made with the run's saliency depend on; None where there is none.

    Raises:
        RunError: maps are asked for and not all there yet.
    """
    config = run.config.saliency
    if config.source == "none":
        return None
    stage = run.manifest.stages.get("saliency", {})
    known = set(stage.get("missing", ()))
    lacking = [one.id for one in run.wanted if one.id not in known and not run.folder.saliency(one.id).exists()]
    if stage.get("status") != "done" or lacking:
        named = f" of {few(lacking)}" if lacking and stage else ""
        raise RunError(
            f"{run.folder.root} has no saliency maps{named} yet: run `advcam saliency` with the same --out, or give "
            "--saliency.source none"
        )
    rule = {"rule": config.rule} | ({"threshold": config.threshold} if config.rule == "fixed" else {})
    return {**stage["settings"], **rule}
