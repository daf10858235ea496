"""Step size and lambda of a climb, chosen on a few images from their labels alone: what Fig. 2 shows of the paper's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from advcam.analyse.amplification import Growth, growth
from advcam.analyse.climbs import climb_steps
from advcam.attribute.inputs import PictureMap, to_input
from advcam.attribute.multiscale import at_scale
from advcam.attribute.settings import ClimbSettings
from advcam.data.transforms import scale_image
from advcam.errors import DataError

# Fig. 2(a): without regularization the median non-discriminative cell about doubles in 20 steps.
STEPS, TARGET = 20, 2.0
ROUNDS, NEAR = 5, 0.1
# Fig. 2(b): with it the discriminative cells stay where they were, to a few percent.
HELD = 0.05
WEIGHTS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class Calibration:
    """What was chosen, in the units of the network, and what it comes to on the images it was chosen on."""

    step_size: float
    reg_weight: float
    others: float
    """By how much the non-discriminative cells grow in 20 steps without regularization, median."""
    deviation: float
    """How far the discriminative cells are thrown from their first value with it, mean over the climbs."""
    images: int


def calibrate(
    map_: PictureMap,
    pictures: Sequence[UInt8[np.ndarray, "_ _ _"]],
    classes: Sequence[Sequence[int]],
    settings: ClimbSettings,
    scales: Sequence[float],
) -> Calibration:
    """The step at which other cells double in 20 steps, and the smallest lambda that holds the discriminative ones.

    The step is found without regularization, by at most five climbs of each picture, and the one that comes nearest is
    taken. Of an eighth to eight times the lambda in ``settings`` the smallest is taken under which the discriminative
    cells' sum stays within 5 percent, mean over the climbs, or the one under which it moves least; 0 stays 0.

    Args:
        map_: what is climbed.
        pictures: as they are mapped at scale 1.
        classes: of each picture.
        settings: in the map's units; where the search begins.
        scales: at which the pictures are mapped; one step and one lambda serve all.

    Raises:
        DataError: no picture has a class with both kinds of cells.
    """

    def climbs(**changes: Any) -> list[Growth]:
        changed = replace(settings, **changes)
        return list(growths(map_, pictures, classes, changed, scales))

    tried: dict[float, float] = {}
    step = settings.step_size
    while len(tried) < ROUNDS and step not in tried:
        found = climbs(step_size=step, reg_weight=0.0, suppress_others=False)
        if not found:
            raise DataError("climb.calibrate: the classifier sees no class of these images: take more of them")
        tried[step] = float(torch.cat([one.others[-1] for one in found]).median())
        if abs(tried[step] - TARGET) < NEAR:
            break
        # Growth is nearly proportional to a small step; a long one is not left in one stride.
        factor = (TARGET - 1) / max(tried[step] - 1, 1e-6)
        step *= min(8.0, max(0.125, factor))
    step = min(tried, key=lambda one: abs(tried[one] - TARGET))
    held: dict[float, float] = {}
    for factor in WEIGHTS if settings.reg_weight else (0.0,):
        weight = factor * settings.reg_weight
        held[weight] = fmean(one.deviation for one in climbs(step_size=step, reg_weight=weight))
        if held[weight] <= HELD:
            break
    weight = min(held, key=held.__getitem__)
    return Calibration(step, weight, tried[step], held[weight], len(pictures))


def growths(
    map_: PictureMap,
    pictures: Sequence[UInt8[np.ndarray, "_ _ _"]],
    classes: Sequence[Sequence[int]],
    settings: ClimbSettings,
    scales: Sequence[float],
) -> Iterator[Growth]:
    """How the cells of every picture, scale and class grow over 20 steps; those without both kinds are passed over."""
    for picture, own in zip(pictures, classes, strict=True):
        for scale in scales:
            images = to_input(scale_image(picture, scale), map_)[None].expand(len(own), -1, -1, -1)
            climb = replace(at_scale(settings, scale), steps=STEPS + 1, last_map=False, aggregate="sum")
            maps, _ = climb_steps(map_, images, own, climb)
            yield from filter(None, map(growth, maps))
