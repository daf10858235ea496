"""What a way of refining offers to the stage that writes masks.

``refine.method NAME`` is the module ``advcam.pipeline.refine_NAME`` with two functions. ``refiner(run, kind) ->
Refiner`` prepares it for one kind of maps, with whatever has to be trained first (as a stage of its own, by
``run.stage``). ``asked(run) -> dict`` is as much of ``Refiner.settings`` as is known before that. A new method is that
one file and its name in ``RefineSettings.method``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from advcam.attribute.grid import full_size
from advcam.attribute.result import LocalizationMaps
from advcam.data.images import read_image
from advcam.data.record import Record
from advcam.pipeline.mapping import reduce
from advcam.pipeline.run import Run
from advcam.pipeline.thresholds import ChosenThreshold

# Kinds of maps and the folder of the masks that a run ends with.
MASKS_OF = {"maps": "masks", "cam": "cam_masks"}
# Masks of the CRF alone, kept beside those of a method that goes further.
CRF_MASKS_OF = {"maps": "crf_masks", "cam": "cam_crf_masks"}


@dataclass(frozen=True)
class MaskSet:
    """One set of masks of a run."""

    folder: str
    """Its name in the run folder."""
    maps: str
    """The kind of maps it is made from: "maps" or "cam"."""
    method: str
    """As ``refine.method``."""


def mask_sets(run: Run) -> tuple[MaskSet, ...]:
    """The sets of masks that a run's settings ask for, in the order in which they are made."""
    config = run.config.refine
    sets = []
    for kind in ("maps", "cam") if config.baseline else ("maps",):
        if config.steps and config.method not in ("crf", "none"):
            sets.append(MaskSet(CRF_MASKS_OF[kind], kind, "crf"))
        sets.append(MaskSet(MASKS_OF[kind], kind, config.method))
    return tuple(sets)


@dataclass(frozen=True)
class Subject:
    """One image on its way to a mask."""

    record: Record
    image: UInt8[np.ndarray, "h w 3"]
    """At most ``refine.max_side`` pixels long."""
    result: LocalizationMaps
    """The maps as they are stored, of the image at its own size."""

    @classmethod
    def read(cls, run: Run, record: Record, kind: str) -> Subject:
        """The image and its maps of one kind."""
        result = LocalizationMaps.load(run.folder.maps(record.id, kind))
        return cls(record, reduce(read_image(record.image), run.config.refine.max_side), result)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of ``image``."""
        height, width = self.image.shape[:2]
        return height, width

    @cached_property
    def maps(self) -> Float[Tensor, "k h w"]:
        """The maps at the size of ``image``, in [0, 1]."""
        return full_maps(self.result, self.size)

    @property
    def classes(self) -> Int[Tensor, " k"]:
        return torch.from_numpy(self.result.classes)


@runtime_checkable
class Refiner(Protocol):
    """Makes the masks of one kind of maps. Called from several threads at once."""

    @property
    def threshold(self) -> ChosenThreshold | None:
        """The background threshold of the masks, in units of its own scores; None where there is none."""

    @property
    def settings(self) -> dict[str, Any]:
        """What else the masks depend on, but for the maps and the settings of ``refine``."""

    def labels(self, subject: Subject) -> UInt8[np.ndarray, "h w"]:
        """The mask: 0 background, class + 1, 255 ignore, at the size of the subject's image."""


def refiner_of(run: Run, masks: MaskSet) -> Refiner:
    """The refiner of a set of masks; trains what it needs."""
    return module_of(masks).refiner(run, masks.maps)


def asked_of(run: Run, masks: MaskSet) -> dict[str, Any]:
    """What is known of a set of masks before anything is trained for it, as the manifest has it."""
    return {"maps": masks.maps, "method": masks.method, **module_of(masks).asked(run)}


def module_of(masks: MaskSet) -> ModuleType:
    return import_module(f"advcam.pipeline.refine_{masks.method}")


def full_maps(result: LocalizationMaps, size: tuple[int, int]) -> Float[Tensor, "k H W"]:
    """Stored maps at the size of the picture, or at another one where a large picture was reduced."""
    maps = torch.from_numpy(result.maps).float()
    if size == result.image_size:
        return full_size(maps, size)
    return torch.nn.functional.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
