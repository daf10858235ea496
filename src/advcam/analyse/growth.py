"""How maps grow over the steps, with and without the restriction of high attributions (Figs. 6 and 12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from advcam.analyse.climbs import all_steps, fused, maps_of
from advcam.analyse.coverage import coverage
from advcam.analyse.pictures import contour, show
from advcam.analyse.plot import colour, dash, dress
from advcam.analyse.result import Analysis
from advcam.analyse.seeds import marks
from advcam.analyse.subject import Subject
from advcam.attribute.objective import restricting_mask
from advcam.data import Record, image_size, read_mask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = {"with regularization": {}, "without": {"reg_weight": 0.0, "suppress_others": False}}


def fig6(subject: Subject, *, steps: Sequence[int] = (5, 10, 20), shown: int = 3) -> Analysis:
    """Fig. 6: the plain map with its restricting mask, and maps after some steps with and without regularization.

    Args:
        subject: at any scales; the mask is that of the first step (eq. 5).
        steps: which ones; those beyond the climb's length are its last.
        shown: images in the plot, spread evenly over the sample.
    """
    count = subject.climb.maps
    wanted = tuple(sorted({0, *(min(step, count - 1) for step in steps)}))
    rows, numbers = growth_table(subject, wanted, "fig6")
    chosen = spread_evenly(subject.records, shown)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(2 * len(chosen), len(wanted) + 1, squeeze=False)
        for index, record in enumerate(chosen):
            picture = subject.picture(record)
            name = subject.class_names[record.classes[0]]
            for line, (kind, changes) in zip(panels[2 * index : 2 * index + 2], KINDS.items(), strict=True):
                maps = maps_of(subject.with_climb(**changes), record, wanted)[:, 0]
                if changes:
                    tau = subject.climb.mask_threshold
                    restricted = restricting_mask(maps[:1], tau, True)[0].float()
                    show(line[0], picture, f"restricting mask, τ = {tau:g}", restricted.numpy())
                else:
                    show(line[0], picture, name)
                for axes, step, heat in zip(line[1:], wanted, maps, strict=True):
                    show(axes, picture, f"{'CAM' if step == 0 else f't = {step}'}, {kind}", heat.numpy())

    return Analysis(
        "fig6",
        "Restriction of high attributions",
        "Localization maps after t steps with regularization and without it; the restricting mask is where the plain "
        "map is above tau. Rows: mean value of the map on the object and on the background.",
        rows,
        numbers,
        facts=subject.described(),
        draw=draw,
        size=(2.1 * (len(wanted) + 1), 3.4 * max(1, len(chosen))),
    )


def fig12(subject: Subject, *, shown: int = 4) -> Analysis:
    """Fig. 12: maps over all steps, with regularization (top row of each image) and without (bottom row)."""
    wanted = marks(subject.climb.maps)
    rows, numbers = growth_table(subject, wanted, "fig12")
    chosen = spread_evenly(subject.records, shown)
    pictured = tuple(dict.fromkeys(wanted[round(i * (len(wanted) - 1) / 6)] for i in range(7)))

    def draw(figure: Figure) -> None:
        parts: Any = figure.subfigures(2, 1, height_ratios=(1.5 * 2 * len(chosen), 2.6)) if rows else [figure]
        panels = parts[0].subplots(2 * len(chosen), len(pictured), squeeze=False)
        for index, record in enumerate(chosen):
            picture = subject.picture(record)
            inside = None if record.mask is None else read_mask(record) == record.classes[0] + 1
            for line, changes in zip(panels[2 * index : 2 * index + 2], KINDS.values(), strict=True):
                maps = maps_of(subject.with_climb(**changes), record, pictured)[:, 0]
                for axes, step, heat in zip(line, pictured, maps, strict=True):
                    title = f"t = {step}{', without' if changes else ''}"
                    show(axes, picture, title, heat.numpy())
                    if inside is not None:
                        contour(axes, inside, picture.shape[:2])
        if rows:
            draw_curves(parts[1], rows)

    return Analysis(
        "fig12",
        "Growth of maps over the steps",
        "Localization maps after t steps, with regularization (top row of each image) and without it (bottom row); "
        "white outline: the object. Curves: mean value of the map on the object and on the background.",
        rows,
        numbers,
        facts=subject.described(),
        draw=draw,
        size=(1.9 * len(pictured), 3.0 * max(1, len(chosen)) + (2.6 if rows else 0)),
    )


def growth_table(subject: Subject, steps: Sequence[int], what: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Mean value of the maps on the objects and elsewhere, by step and kind; nothing for images without masks."""
    rows: list[dict[str, Any]] = []
    for kind, changes in KINDS.items():
        values: dict[int, list[tuple[float, float]]] = {step: [] for step in steps}
        for record, scales in all_steps(subject.with_climb(**changes), f"{what} {kind}"):
            if record.mask is None:
                continue
            mask = read_mask(record)
            for step, maps in zip(steps, fused(scales, image_size(record.image), steps), strict=True):
                values[step] += pair_coverage(maps, mask, record)
        for step, pairs in values.items():
            if pairs:
                inside, outside = np.nanmean(np.array(pairs), axis=0).tolist()
                head = {"regularization": kind, "step": step, "pairs": len(pairs)}
                rows.append(head | {"on the object": inside, "on the background": outside})
    numbers: dict[str, Any] = {}
    for row in rows:
        if row["step"] in (steps[0], steps[-1]):
            where = "CAM" if row["step"] == 0 else f"step {row['step']}, {row['regularization']}"
            numbers |= {f"{name}, {where}": row[name] for name in ("on the object", "on the background")}
    return rows, numbers


def pair_coverage(maps: Float[Tensor, "k H W"], mask: np.ndarray, record: Record) -> list[tuple[float, float]]:
    return [coverage(one, mask, own)[:2] for one, own in zip(torch.unbind(maps), record.classes, strict=True)]


def spread_evenly(records: Sequence[Record], count: int) -> list[Record]:
    """So many of the images, spread evenly over them; all of them where there are fewer.

    >>> spread_evenly("abcdefgh", 4)
    ['a', 'c', 'e', 'g']
    """
    count = min(count, len(records))
    return [records[index * len(records) // count] for index in range(count)]


def draw_curves(figure: Any, rows: Sequence[dict[str, Any]]) -> None:
    """The mean values over the steps."""
    panels = figure.subplots(1, 2)
    for axes, place in zip(panels, ("on the object", "on the background"), strict=True):
        dress(axes, "step t", "mean of the map", place)
        for index, kind in enumerate(KINDS):
            own = [row for row in rows if row["regularization"] == kind]
            steps, values = [row["step"] for row in own], [row[place] for row in own]
            axes.plot(steps, values, color=colour(index), linestyle=dash(index), marker=".", label=kind)
        axes.legend(frameon=False, fontsize=8)
