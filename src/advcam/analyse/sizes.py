"""Which classes gain, by the size of their objects (Fig. 14), and how small and large ones fare (Table 13)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from advcam.analyse.plot import PAPER as GREY
from advcam.analyse.plot import colour, dress
from advcam.analyse.result import Analysis
from advcam.analyse.seeds import seed_curve
from advcam.analyse.subject import Subject
from advcam.data import read_mask
from advcam.evaluate import SegmentationScores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = (10, 20, 30)
MASK_THRESHOLDS = (0.5, 0.4, 0.6)
GROUP = 10
GROUPS = ("all", "smallest", "largest")
# Table 13: MS COCO 2014, 6 % of the images; precision, recall and F1 for all, the smallest and the largest classes.
PAPER_ROWS: dict[str, tuple[float, ...]] = {
    "CAM": (44.5, 61.6, 47.6, 11.5, 73.0, 19.2, 69.3, 60.4, 63.5),
    "T 10, tau 0.5": (46.7, 63.8, 50.6, 14.8, 69.7, 23.8, 70.9, 63.9, 65.6),
    "T 20, tau 0.5": (47.1, 64.7, 51.3, 16.5, 67.4, 25.4, 70.9, 66.0, 66.5),
    "T 30, tau 0.5": (48.1, 63.6, 51.6, 18.5, 64.9, 27.2, 71.4, 65.7, 66.7),
    "T 30, tau 0.4": (48.0, 63.6, 51.4, 17.1, 66.6, 26.1, 71.5, 64.9, 66.3),
    "T 30, tau 0.6": (47.7, 63.7, 51.4, 19.2, 64.3, 28.1, 71.2, 66.1, 66.5),
}


def object_sizes(subject: Subject) -> list[float]:
    """Mean part of an image that a class takes up, over the images that have it; NaN for a class that none has."""
    sums, counts = np.zeros(len(subject.class_names)), np.zeros(len(subject.class_names))
    for record in subject.records:
        mask = read_mask(record)
        found = np.bincount(mask[mask != 255], minlength=len(sums) + 1)
        for index in record.classes:
            if found[index + 1]:
                sums[index] += found[index + 1] / found.sum()
                counts[index] += 1
    with np.errstate(invalid="ignore"):
        return (sums / counts).tolist()


def fig14(subject: Subject) -> Analysis:
    """Fig. 14: gain in seed IoU by class, from the plain map to the climbed one; classes by mean object size.

    Each kind of maps has its own best threshold, of mIoU over all classes on these images.

    Raises:
        DataError: an image has no ground truth.
    """
    subject.need_masks("fig14")
    last = subject.climb.maps - 1
    curve = seed_curve(subject, "fig14", (0, last))
    cam, advcam = (sweep.best.iou[1:].tolist() for sweep in curve.sweeps)
    rows: list[dict[str, Any]] = [
        {"class": name, "object size": size, "cam": 100 * before, "advcam": 100 * after}
        | {"gain": 100 * (after - before)}
        for name, size, before, after in zip(subject.class_names, object_sizes(subject), cam, advcam, strict=True)
        if not np.isnan(size)
    ]
    rows.sort(key=lambda row: row["object size"])
    gains = [row["gain"] for row in rows]
    sizes = [row["object size"] for row in rows]
    numbers: dict[str, Any] = {
        "classes that gain": sum(gain > 0 for gain in gains),
        "classes": len(rows),
        "mean gain": float(np.nanmean(gains)),
        "rank correlation of gain and size": rank_correlation(sizes, gains),
    }

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        dress(axes, "", "gain in IoU, points")
        places = range(len(rows))
        axes.bar(places, gains, color=[colour(0) if gain >= 0 else colour(1) for gain in gains])
        axes.axhline(0, color="#555555", linewidth=0.8)
        axes.set_xticks(
            places, [f"{row['class']}, {100 * row['object size']:.0f} %" for row in rows], rotation=90, fontsize=8
        )
        axes.set_xlabel("class and mean part of an image, smallest first")

    return Analysis(
        "fig14",
        "Gain by class and object size",
        "Gain of the climbed map's seed over the plain map's, in points of IoU, each at its own best threshold; "
        "classes in the order of the mean part of an image that they take up.",
        rows,
        numbers,
        paper={"classes that gain": "the majority, whatever their size"},
        facts=subject.described(),
        draw=draw,
        size=(max(7.0, 0.2 * len(rows)), 4.2),
    )


def table13(
    subject: Subject, *, steps: Sequence[int] = STEPS, mask_thresholds: Sequence[float] = MASK_THRESHOLDS
) -> Analysis:
    """Table 13: precision, recall and F1 of seeds for all, the smallest and the largest classes, over T and tau.

    Every row has its own best threshold, of mIoU on these images. Groups are of ten classes, or a third of those that
    occur.

    Raises:
        DataError: an image has no ground truth.
    """
    subject.need_masks("table13")
    groups = size_groups(object_sizes(subject))
    rows: list[dict[str, Any]] = []
    for tau in mask_thresholds:
        variant = subject.with_climb(mask_threshold=tau, steps=max(steps))
        wanted = (0, *(step - 1 for step in steps)) if tau == mask_thresholds[0] else (max(steps) - 1,)
        curve = seed_curve(variant, f"table13 tau {tau:g}", wanted)
        for step, sweep in zip(curve.steps, curve.sweeps, strict=True):
            name = "CAM" if step == 0 else f"T {step + 1}, tau {tau:g}"
            rows.append({"maps": name, "threshold": sweep.best_threshold} | group_columns(sweep.best, groups))
    numbers: dict[str, Any] = {
        f"{row['maps']}: F1 of {group} classes": row[f"{group} f1"] for row in rows for group in GROUPS
    }
    paper = {
        f"{name}: F1 of {group} classes": row[3 * i + 2]
        for name, row in PAPER_ROWS.items()
        for i, group in enumerate(GROUPS)
    }

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, 3, sharey=True)
        for axes, group in zip(panels, GROUPS, strict=True):
            dress(axes, "", "%", f"{group} classes ({len(groups[group])})")
            for index, name in enumerate(("precision", "recall", "f1")):
                values = [row[f"{group} {name}"] for row in rows]
                axes.plot(range(len(rows)), values, color=colour(index), marker="os^"[index], label=name)
                known = [PAPER_ROWS.get(row["maps"]) for row in rows]
                theirs = [None if k is None else k[3 * GROUPS.index(group) + index] for k in known]
                points = [(place, value) for place, value in enumerate(theirs) if value is not None]
                axes.plot(*zip(*points, strict=True), color=GREY, marker="os^"[index], linestyle=":", markersize=3)
            axes.set_xticks(range(len(rows)), [row["maps"] for row in rows], rotation=60, ha="right", fontsize=8)
        panels[0].plot([], [], color=GREY, linestyle=":", label="paper (MS COCO 2014)")
        panels[0].legend(frameon=False, fontsize=8)

    return Analysis(
        "table13",
        "Small and large classes over T and tau",
        "Mean precision, recall and F1 of the seeds, each row at its own best threshold on these images; dotted: the "
        "paper's, on MS COCO 2014.",
        rows,
        numbers,
        paper=paper,
        facts=subject.described()
        | {group: [subject.class_names[i - 1] for i in ids] for group, ids in groups.items() if group != "all"},
        draw=draw,
        size=(10.0, 4.2),
    )


def size_groups(sizes: Sequence[float]) -> dict[str, list[int]]:
    """Labels of all classes that occur, of the smallest and of the largest ones: ten, or a third of them.

    >>> size_groups([0.3, float("nan"), 0.1, 0.2])
    {'all': [1, 3, 4], 'smallest': [3], 'largest': [1]}
    """
    known = [index for index, size in enumerate(sizes) if not np.isnan(size)]
    ranked = sorted(known, key=lambda index: sizes[index])
    count = max(1, min(GROUP, len(ranked) // 3))
    parts = (known, ranked[:count], ranked[-count:])
    return {name: [index + 1 for index in part] for name, part in zip(GROUPS, parts, strict=True)}


def group_columns(scores: SegmentationScores, groups: dict[str, list[int]]) -> dict[str, float]:
    """Precision, recall and F1 of each group, in percent."""
    return {
        f"{group} {name}": 100 * value
        for group, ids in groups.items()
        for name, value in scores.class_means(ids)._asdict().items()
    }


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's; NaN for fewer than three."""
    if len(a) < 3:
        return float("nan")
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)
