"""The parts of the page that hold charts: classes, thresholds, the classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from advcam.report.charts import Bar, Curve, Marker, bars, curves
from advcam.report.figures import ClassRow, Figure, Headline, class_rows, ends, name_of_masks, style_of_masks
from advcam.report.wording import percent, place

# Classes drawn as bars; tables have all of them.
CLASSES_DRAWN = 40

Legend = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ClassChart:
    """IoU by class in each of the sets of masks that the page opens with."""

    place: str
    legend: Legend
    """Name and style of each set of masks."""
    drawn: tuple[tuple[ClassRow, Markup], ...]
    left_out: int
    """Classes in the middle that are not drawn."""
    rows: tuple[ClassRow, ...]
    compared: tuple[str, str] | None
    """Names of the two sets of masks whose difference is shown: first minus second."""


def class_chart(found: Headline) -> ClassChart:
    """The chart of classes for the figures that the page opens with."""
    shown = found.shown
    rows = class_rows(shown)
    drawn, left_out = ends(rows, CLASSES_DRAWN)
    return ClassChart(
        place=place(found.seeds.split, found.seeds.images),
        legend=tuple((figure.name, figure.style) for figure in shown),
        drawn=tuple((row, class_bars(row, shown)) for row in drawn),
        left_out=left_out,
        rows=tuple(rows),
        compared=(shown[1].name, shown[0].name) if len(shown) > 1 else None,
    )


def class_bars(row: ClassRow, shown: Sequence[Figure]) -> Markup:
    return bars([Bar(figure.name, value, figure.style) for figure, value in zip(shown, row.values, strict=True)])


@dataclass(frozen=True)
class CurvePanel:
    """mIoU over the background threshold on one split."""

    place: str
    chart: Markup
    legend: Legend
    lines: tuple[str, ...]
    """What each curve comes to, in words."""


def curve_panels(metrics: Mapping[str, Any] | None, figures: Sequence[Figure]) -> list[CurvePanel]:
    """One panel for each split that was swept."""
    entries = [entry for entry in (metrics or {}).get("curves", []) if any(v is not None for v in entry["miou"])]
    splits = dict.fromkeys((entry["split"], entry["images"]) for entry in entries)
    return [
        curve_panel(place(*split), [entry for entry in entries if (entry["split"], entry["images"]) == split], figures)
        for split in splits
    ]


def curve_panel(where: str, entries: Sequence[Mapping[str, Any]], figures: Sequence[Figure]) -> CurvePanel:
    """The curves of one split with the thresholds in use (dots) and the best ones on this very split (rings)."""
    lines, markers, words = [], [], []
    for entry in entries:
        name, style = name_of_masks(entry["masks"]), style_of_masks(entry["masks"])
        lines.append(Curve(name, tuple(zip(entry["thresholds"], entry["miou"], strict=True)), style))
        best = entry["best_threshold"]
        text = f"{name}: best {percent(entry['best_miou'])} at {best:.2f}"
        if entry["best_miou"] is not None:
            markers.append(Marker(best, entry["best_miou"], f"{text}, an upper bound", style, "best"))
        for figure in figures:
            used = figure.masks == entry["masks"] and figure.split == entry["split"] and not figure.upper_bound
            if used and figure.miou is not None and figure.threshold is not None:
                label = f"{name}: {percent(figure.miou)} at {figure.threshold:.2f}, {figure.source}"
                markers.append(Marker(figure.threshold, figure.miou, label, style, "chosen"))
                text += f"; {percent(figure.miou)} at {figure.threshold:.2f}, {figure.source}"
        words.append(text)
    chart = curves(lines, x_label="background threshold", y_label="mIoU", markers=markers, from_zero=False, factor=100)
    return CurvePanel(where, chart, tuple((line.label, line.style) for line in lines), tuple(words))


def edges(metrics: Mapping[str, Any] | None) -> list[str]:
    """The seeds whose best threshold is the first or the last one tried."""
    entries = (metrics or {}).get("curves", [])
    return [f"{name_of_masks(e['masks'])} on {e['split']}" for e in entries if e["best_is_at_edge"]]


@dataclass(frozen=True)
class ClassifierChart:
    """What the classifier knows."""

    level: str
    sentence: str
    val_map: float | None
    drawn: tuple[tuple[str, float | None, Markup], ...]
    """Class, average precision and its bar, with a mark where guessing would be; the weakest first."""
    left_out: int
    untrained: tuple[str, ...]


def classifier_chart(result: Mapping[str, Any] | None) -> ClassifierChart | None:
    """The chart of the classifier from what its training left in the manifest; None where it was not trained here."""
    if result is None:
        return None
    measured = sorted(
        ((name, ap) for name, ap in result["per_class_ap"].items() if ap is not None), key=lambda item: item[1]
    )
    rows = []
    for name, ap in measured[:CLASSES_DRAWN]:
        chance = result["prevalence"].get(name)
        mark = None if chance is None else (chance, f"guessing: {100 * chance:.1f}")
        rows.append((name, ap, bars([Bar(f"average precision of {name}", ap, "classifier")], mark)))
    return ClassifierChart(
        level=result["level"],
        sentence=result["sentence"],
        val_map=result["val_map"],
        drawn=tuple(rows),
        left_out=len(measured) - len(rows),
        untrained=tuple(result["untrained"]),
    )
