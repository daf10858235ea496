"""How maps grow over the steps, with and without the restriction of high attributions (Figs. 6 and 12).

Shape suffixes: k classes of one image, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from advcam.analyse.climbs import all_steps, fused, maps_of
from advcam.analyse.pictures import show, show_maps
from advcam.analyse.plot import colour, dash, dress
from advcam.analyse.result import Analysis
from advcam.analyse.seeds import marks
from advcam.analyse.subject import Subject
from advcam.attribute.objective import restricting_mask
from advcam.data import Record, image_size, read_mask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = {"with regularization": {}, "without": {"reg_weight": 0.0, "suppress_others": False}}
PLACES = ("on the object", "on the background")
PAPER = {"growth on the object, with regularization": "above 0, and evenly over the object"}


def fig6(subject: Subject, *, steps: Sequence[int] = (5, 10, 20), shown: int = 3) -> Analysis:
    """Fig. 6: the plain map with its restricting mask, and maps after some steps with and without regularization.

    Args:
        subject: at any scales; the mask is that of the first step (eq. 5).
        steps: which ones; those beyond the climb's length are its last.
        shown: images in the plot, spread evenly over the sample.
    """
    wanted = tuple(sorted({0, *(min(step, subject.climb.maps - 1) for step in steps)}))
    rows, numbers = growth_table(subject, wanted, "fig6")
    chosen = spread_evenly(subject.records, shown)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(2 * len(chosen), len(wanted) + 1, squeeze=False)
        draw_maps(panels[:, 1:], subject, chosen, wanted)
        tau = subject.climb.mask_threshold
        for record, first, second in zip(chosen, panels[::2, 0], panels[1::2, 0], strict=True):
            picture, plain = subject.picture(record), maps_of(subject, record, (0,))[0, :1]
            show(first, picture, subject.class_names[record.classes[0]])
            show(
                second, picture, f"restricting mask, τ = {tau:g}", restricting_mask(plain, tau, True)[0].float().numpy()
            )

    return Analysis(
        "fig6",
        "Restriction of high attributions",
        "Localization maps after t steps with regularization and without it; the restricting mask is where the plain "
        "map is above tau. White outline: the object. Rows: mean value of the map on the object and on the background.",
        rows,
        numbers,
        paper=PAPER,
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
        draw_maps(parts[0].subplots(2 * len(chosen), len(pictured), squeeze=False), subject, chosen, pictured)
        if rows:
            draw_curves(parts[1], rows)

    return Analysis(
        "fig12",
        "Growth of maps over the steps",
        "Localization maps after t steps, with regularization (top row of each image) and without it (bottom row); "
        "white outline: the object. Curves: mean value of the map on the object and on the background.",
        rows,
        numbers,
        paper=PAPER,
        facts=subject.described(),
        draw=draw,
        size=(1.9 * len(pictured), 3.0 * max(1, len(chosen)) + (2.6 if rows else 0)),
    )


def draw_maps(panels: np.ndarray, subject: Subject, records: Sequence[Record], steps: Sequence[int]) -> None:
    """Two rows for each image, with regularization and without, of its first class's map after each of the steps."""
    for index, record in enumerate(records):
        own = record.classes[0]
        for line, changes in zip(panels[2 * index : 2 * index + 2], KINDS.values(), strict=True):
            maps = maps_of(subject.with_climb(**changes), record, steps)[:, 0]
            names = [f"t = {step}{', without' if changes else ''}" for step in steps]
            show_maps(line, subject, record, own, maps, [f"{subject.class_names[own]}, CAM", *names[1:]])


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
                pairs = zip(torch.unbind(maps), record.classes, strict=True)
                values[step] += [coverage(one, mask, own)[:2] for one, own in pairs]
        for step, found in values.items():
            if found:
                means = np.nanmean(np.array(found), axis=0).tolist()
                head = {"regularization": kind, "step": step, "pairs": len(found)}
                rows.append(head | dict(zip(PLACES, means, strict=True)))
    numbers: dict[str, Any] = {}
    for kind in KINDS:
        own = [row for row in rows if row["regularization"] == kind]
        for place in PLACES if own else ():
            numbers[f"{place}, CAM"] = own[0][place]
            numbers[f"{place}, step {steps[-1]}, {kind}"] = own[-1][place]
            numbers[f"growth {place}, {kind}"] = own[-1][place] - own[0][place]
    return rows, numbers


def coverage(
    localization_map: Float[Tensor, "H W"], mask: UInt8[np.ndarray, "H W"], class_index: int
) -> tuple[float, float, float]:
    """Mean of a map in [0, 1] over the class's object, over the background, and over the objects of other classes.

    Ignored pixels do not count; a mean over nothing is NaN.

    >>> coverage(torch.tensor([[1.0, 0.5, 0.2, 0.0]]), np.array([[1, 1, 2, 0]], np.uint8), 0)
    (0.75, 0.0, 0.20000000298023224)
    """
    labels = torch.from_numpy(mask)
    own, ground = labels == class_index + 1, labels == 0
    other = ~own & ~ground & (labels != 255)
    return tuple(float(localization_map[part].mean()) for part in (own, ground, other))  # type: ignore[return-value]


def spread_evenly(records: Sequence[Record], count: int) -> list[Record]:
    """So many of the images, spread evenly over them; all of them where there are fewer.

    >>> from pathlib import Path
    >>> [record.id for record in spread_evenly([Record(name, Path(name), ()) for name in "abcdefgh"], 4)]
    ['a', 'c', 'e', 'g']
    """
    count = min(count, len(records))
    return [records[index * len(records) // count] for index in range(count)]


def draw_curves(figure: Any, rows: Sequence[dict[str, Any]]) -> None:
    """The mean values over the steps."""
    panels = figure.subplots(1, 2)
    for axes, place in zip(panels, PLACES, strict=True):
        dress(axes, "step t", "mean of the map", place)
        for index, kind in enumerate(KINDS):
            own = [row for row in rows if row["regularization"] == kind]
            steps, values = [row["step"] for row in own], [row[place] for row in own]
            axes.plot(steps, values, color=colour(index), linestyle=dash(index), marker=".", label=kind)
        axes.legend(frameon=False, fontsize=8)
