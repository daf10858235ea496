"""How a localization map grows over the steps of the climb, with and without the regularizer (Figs. 6 and 12)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from markupsafe import Markup
from torch import Tensor

from advcam.attribute.climb import ClimbStep, climb_pairs
from advcam.attribute.grid import high_res
from advcam.attribute.inputs import PictureMap, to_input
from advcam.attribute.settings import ClimbSettings
from advcam.models.mapper import ClassMapper
from advcam.report.charts import Curve, curves
from advcam.report.overlays import heat_overlay
from advcam.report.pictures import Picture, picture

# Longer side of an image that is climbed here, and of its pictures, in pixels.
CLIMBED_SIDE = 320
# Steps shown of the 27 of the paper (section 5.1), the last one with the index 26.
SHOWN = (0, 1, 3, 7, 13, 20, 26)


@dataclass(frozen=True)
class Row:
    """One climb: the map after the steps that are shown, and the score of the class at every step."""

    name: str
    style: str
    maps: Float[Tensor, "t H W"]
    """Sum of the maps up to each of these steps, divided by its maximum (eq. 4): in [0, 1]."""
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Strip:
    """One image and class in the page."""

    name: str
    class_name: str
    steps: tuple[int, ...]
    rows: tuple[tuple[str, str, tuple[Picture, ...]], ...]
    """Name, style and pictures of each climb."""
    chart: Markup


def shown_steps(count: int) -> tuple[int, ...]:
    """The steps to show of a climb with ``count`` maps: those of ``SHOWN``, scaled to its length.

    >>> shown_steps(27), shown_steps(10), shown_steps(1)
    ((0, 1, 3, 7, 13, 20, 26), (0, 1, 2, 4, 7, 9), (0,))
    """
    return tuple(dict.fromkeys(round(step * (count - 1) / SHOWN[-1]) for step in SHOWN))


def climb_rows(
    map_: ClassMapper | PictureMap,
    image: UInt8[np.ndarray, "H W 3"],
    class_index: int,
    settings: ClimbSettings,
    saliency: Float[Tensor, "1 H W"] | None = None,
) -> list[Row]:
    """The climb of one image at scale 1 as the settings say and, unless they have none, without the regularizer.

    The first is bounded by the image's saliency map where there is one (section 4.4).
    """
    steps = shown_steps(settings.maps)
    rows = [climb_row(map_, image, class_index, settings, steps, "with regularizer", "advcam", saliency)]
    if settings.reg_weight > 0:
        free = replace(settings, reg_weight=0.0)
        rows.append(climb_row(map_, image, class_index, free, steps, "without", "free"))
    return rows


def climb_row(
    map_: ClassMapper | PictureMap,
    image: UInt8[np.ndarray, "H W 3"],
    class_index: int,
    settings: ClimbSettings,
    steps: tuple[int, ...],
    name: str,
    style: str,
    saliency: Float[Tensor, "1 H W"] | None = None,
) -> Row:
    """One climb and what it looks like after the given steps."""
    total: list[Float[Tensor, "1 h w"]] = []
    kept: list[Float[Tensor, "1 h w"]] = []
    scores: list[float] = []

    def keep(step: ClimbStep) -> None:
        total.append(step.maps + total.pop() if total else step.maps)
        scores.append(float(step.scores[0, :, class_index].mean()))
        if step.step in steps:
            kept.append(total[0])

    target = torch.tensor([class_index], device=map_.device)
    climb_pairs(map_, to_input(image, map_)[None], target, settings, saliency=saliency, on_step=keep)
    return Row(name, style, high_res([torch.cat(kept)], image.shape[:2]).float().cpu(), tuple(scores))


def draw_strip(image: UInt8[np.ndarray, "H W 3"], name: str, class_name: str, rows: list[Row]) -> Strip:
    """The strip of one image: a row of pictures for each climb, and the scores as curves."""
    steps = shown_steps(len(rows[0].scores))
    drawn = []
    for row in rows:
        pictures = tuple(
            picture(f"step {step}", f"{class_name} in {name} after step {step}, {row.name}", heat_overlay(image, heat))
            for step, heat in zip(steps, row.maps.numpy(), strict=True)
        )
        drawn.append((row.name, row.style, pictures))
    lines = [Curve(row.name, tuple(enumerate(row.scores)), row.style) for row in rows]
    chart = curves(lines, x_label="step", y_label="class score", size=(300.0, 200.0), decimals=3)
    return Strip(name, class_name, steps, tuple(drawn), chart)
