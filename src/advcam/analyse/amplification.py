"""How much each step raises discriminative and non-discriminative cells (Fig. 2), and how wide the plain map is.

Shape suffixes: N pairs of (image, class), T steps, D discriminative cells, R other cells within the object, h w cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from advcam.analyse.climbs import all_steps, object_shares
from advcam.analyse.plot import colour, dash, dress
from advcam.analyse.result import Analysis
from advcam.analyse.subject import Subject
from advcam.data import read_mask
from advcam.saliency.threshold import otsu

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Section 4.2.1: R_D is at least the second of the plain map's maximum, R_ND lies between the two.
LOW, HIGH = 0.1, 0.5
# Values of the plain map between which the share of object is told. The second and third are those that climbing has
# to raise and the threshold has to keep.
BANDS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
# Section 4.3, of 20 steps; the first is read off Fig. 2(a).
PAPER = (
    ("without", "others at the end", "about 2"),
    ("without", "factor at the end", "below 2"),
    ("with", "factor at the end", "2.5 or more"),
    ("with", "discriminative at the end", "about 1"),
)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Growth:
    """The amplification ratio s_t = CAM(x^t) / CAM(x^0) of one climb's cells, region by region."""

    discriminative: Float[Tensor, "T D"]
    others: Float[Tensor, "T R"]
    level: Float[Tensor, " T"]
    """The sum over the discriminative cells, relative to that of the plain map: what the regularizer holds at 1."""

    @property
    def reversals(self) -> float:
        """Part of the steps that throw ``level`` from one side of 1 to the other: the penalty of eq. 7 overshoots."""
        away = self.level[1:] - 1
        return float((away[1:] * away[:-1] < 0).double().mean()) if len(away) > 1 else 0.0

    @property
    def swing(self) -> float:
        """Mean change of ``level`` from step to step, as a part of it."""
        return float((self.level[1:] / self.level[:-1].clamp(min=1e-12) - 1).abs().mean()) if len(self.level) > 1 else 0

    @property
    def deviation(self) -> float:
        """Largest distance of ``level`` from 1."""
        return float((self.level - 1).abs().max())


def growth(maps: Float[Tensor, "T h w"]) -> Growth | None:
    """The growth of one climb; None where the class is not seen, or has no cell in one of the regions.

    >>> import torch
    >>> first = torch.tensor([[1.0, 0.2, 0.0]])
    >>> found = growth(torch.stack([first, torch.tensor([[1.1, 0.4, 0.3]])]))
    >>> found.discriminative[1].tolist(), found.others[1].tolist()
    ([1.100000023841858], [2.0])
    """
    first = maps[0]
    peak = float(first.max())
    if peak <= 0:
        return None
    high, low = first >= HIGH * peak, (first > LOW * peak) & (first < HIGH * peak)
    if not low.any():
        return None
    level_T = maps[:, high].sum(dim=1) / first[high].sum()
    return Growth(maps[:, high] / first[high], maps[:, low] / first[low], level_T)


def spread(maps: Sequence[Float[Tensor, "T _"]]) -> list[dict[str, float]]:
    """At every step the quantiles and the mean of the ratio over the cells of all images."""
    values = torch.cat(list(maps), dim=1).double()
    quantiles = torch.from_numpy(np.quantile(values.numpy(), QUANTILES, axis=1))
    names = ("p5", "p25", "median", "p75", "p95")
    return [
        dict(zip(names, quantiles[:, step].tolist(), strict=True)) | {"mean": float(values[step].mean())}
        for step in range(values.shape[0])
    ]


def own_threshold(values: Float[Tensor, "h w"]) -> float:
    """Otsu's threshold of a map, relative to its maximum: where its high part ends, by the map alone. NaN for zeros."""
    found = otsu((values.relu() / values.max()).numpy()) if values.max() > 0 else float("inf")
    return found if np.isfinite(found) else float("nan")


@dataclass
class Bands:
    """Which part of the cells is object, by the value of the plain map."""

    cells: np.ndarray
    inside: np.ndarray

    @classmethod
    def none(cls) -> Bands:
        return cls(np.zeros(len(BANDS) - 1), np.zeros(len(BANDS) - 1))

    def update(self, first: Float[Tensor, "h w"], shares: Float[Tensor, "h w"]) -> None:
        """Add one pair: its plain map, and the part of every cell that is object."""
        peak = float(first.max())
        counted = ~shares.isnan()
        if peak <= 0:
            return
        relative = (first / peak)[counted].numpy()
        index = np.digitize(relative, BANDS[:-1]) - 1
        kept = index >= 0
        self.cells += np.bincount(index[kept], minlength=len(self.cells))
        self.inside += np.bincount(index[kept], shares[counted].numpy()[kept], minlength=len(self.cells))

    @property
    def share(self) -> list[float]:
        with np.errstate(invalid="ignore"):
            return (self.inside / self.cells).tolist()


def fig2(subject: Subject) -> Analysis:
    """Fig. 2: the amplification ratio without and with regularization, at every scale of the subject."""
    rows: list[dict[str, Any]] = []
    numbers: dict[str, Any] = {}
    free = subject.with_climb(reg_weight=0.0, suppress_others=False)
    for kind, settings in (("without", free), ("with", subject)):
        climbs: dict[float, list[Growth]] = {scale: [] for scale in subject.scales}
        bands = {scale: Bands.none() for scale in subject.scales}
        levels: dict[float, list[float]] = {scale: [] for scale in subject.scales}
        for record, scales in all_steps(settings, f"fig2 {kind} regularization"):
            mask = read_mask(record) if subject.has_masks else None
            for scale, steps in zip(subject.scales, scales, strict=True):
                for class_index, maps_Thw in zip(record.classes, steps.maps, strict=True):
                    found = growth(maps_Thw)
                    climbs[scale] += [found] if found else []
                    levels[scale].append(own_threshold(maps_Thw[0]))
                    if mask is not None:
                        grid = (maps_Thw.shape[1], maps_Thw.shape[2])
                        bands[scale].update(maps_Thw[0], object_shares(mask, class_index, grid))
        for scale in subject.scales:
            rows += growth_rows(kind, scale, climbs[scale])
            numbers |= growth_numbers(f"{kind}, scale {scale:g}", climbs[scale])
            if kind == "without":
                numbers |= width_numbers(f"scale {scale:g}", bands[scale], levels[scale], subject.has_masks)
    caption = (
        "Ratio of the class's map after t steps to that of the unchanged image: discriminative cells (at least half of "
        "the plain map's maximum) and the others above a tenth. Lines: median; bands: the middle half and 90 % of the "
        "cells of all images. Right: which part of the cells is object, by the plain map's value."
    )
    return Analysis(
        "fig2",
        "Amplification of discriminative and other cells",
        caption,
        rows,
        numbers,
        paper={f"{what}, {kind}, scale {scale:g}": words for scale in subject.scales for kind, what, words in PAPER},
        facts=subject.described(),
        draw=lambda figure: draw(figure, rows, numbers, subject.scales),
        size=(11.0, 3.6 * len(subject.scales)),
    )


def growth_rows(kind: str, scale: float, climbs: Sequence[Growth]) -> list[dict[str, Any]]:
    """Quantiles of the ratio, step by step, for both regions."""
    rows: list[dict[str, Any]] = []
    if climbs:
        for region, parts in (
            ("discriminative", [climb.discriminative for climb in climbs]),
            ("others", [climb.others for climb in climbs]),
        ):
            for step, values in enumerate(spread(parts)):
                head = {"regularization": kind, "scale": scale, "region": region, "step": step}
                rows.append(head | {"cells": sum(part.shape[1] for part in parts), **values})
    return rows


def growth_numbers(where: str, climbs: Sequence[Growth]) -> dict[str, Any]:
    """What the climbs of one setting come to at their end."""
    if not climbs:
        return {f"pairs, {where}": 0}
    high = torch.cat([climb.discriminative[-1] for climb in climbs])
    low = torch.cat([climb.others[-1] for climb in climbs])
    return {
        f"pairs, {where}": len(climbs),
        f"factor at the end, {where}": float(low.median() / high.median()),
        f"discriminative at the end, {where}": float(high.median()),
        f"others at the end, {where}": float(low.median()),
        f"reversals, {where}": mean(climb.reversals for climb in climbs),
        f"swing, {where}": mean(climb.swing for climb in climbs),
        f"largest deviation, {where}": mean(climb.deviation for climb in climbs),
    }


def width_numbers(where: str, bands: Bands, levels: Sequence[float], has_masks: bool) -> dict[str, Any]:
    """How wide the plain maps are, without ground truth and with it."""
    numbers: dict[str, Any] = {f"Otsu threshold of CAM, {where}": mean(level for level in levels if level == level)}
    if has_masks:
        for (low, high), share in zip(pairwise(BANDS), bands.share, strict=True):
            numbers[f"object share where CAM is {low:g} to {high:g}, {where}"] = share
    return numbers


def mean(values: Any) -> float:
    kept = list(values)
    return sum(kept) / len(kept) if kept else float("nan")


def draw(figure: Figure, rows: Sequence[dict[str, Any]], numbers: dict[str, Any], scales: Sequence[float]) -> None:
    """A row of panels for every scale: without, with, and the share of object."""
    panels = figure.subplots(len(scales), 3, squeeze=False)
    for line, scale in zip(panels, scales, strict=True):
        for axes, kind in zip(line, ("without", "with"), strict=False):
            for index, region in enumerate(("others", "discriminative")):
                own = [
                    row for row in rows if (row["regularization"], row["scale"], row["region"]) == (kind, scale, region)
                ]
                if not own:
                    continue
                steps = [row["step"] for row in own]
                for low, high, opacity in (("p5", "p95", 0.12), ("p25", "p75", 0.25)):
                    edges = [[row[name] for row in own] for name in (low, high)]
                    axes.fill_between(steps, *edges, color=colour(index), alpha=opacity, linewidth=0)
                name = "$R_D$, discriminative" if index else "$R_{ND}$, other cells"
                axes.plot(steps, [row["median"] for row in own], color=colour(index), linestyle=dash(index), label=name)
            axes.axhline(1, color="#555555", linewidth=0.8)
            axes.legend(frameon=False, fontsize=8, loc="upper left")
            dress(axes, "step t", "$s_t$ = CAM($x^t$) / CAM($x^0$)", f"scale {scale:g}, {kind} regularization")
        shares = [
            numbers.get(f"object share where CAM is {low:g} to {high:g}, scale {scale:g}")
            for low, high in pairwise(BANDS)
        ]
        axes = line[2]
        level = numbers[f"Otsu threshold of CAM, scale {scale:g}"]
        title = f"scale {scale:g}, dashed: Otsu threshold {level:.2f}"
        dress(axes, "value of the plain map", "part of the cells that is object", title)
        axes.axvline(level, color=colour(1), linestyle="--", zorder=3)
        if all(share is not None for share in shares):
            widths = [high - low for low, high in pairwise(BANDS)]
            axes.bar(BANDS[:-1], shares, widths, align="edge", color=colour(0), edgecolor="white")
            axes.set_ylim(0, 1)
        else:
            axes.text(0.5, 0.5, "needs ground truth", ha="center", transform=axes.transAxes)
