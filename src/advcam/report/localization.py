"""The report's section on boxes from class labels: figures, curves, distributions, the images that go most wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from advcam.analyse.localization import ScoreDistribution
from advcam.attribute.settings import climbs
from advcam.report.charts import Curve, Marker, curves
from advcam.report.figures import name_of_masks, style_of_masks
from advcam.report.pictures import Picture
from advcam.report.wording import place


@dataclass(frozen=True)
class BoxRow:
    """One line of the table: figures in percent."""

    name: str
    style: str
    place: str
    levels: Sequence[float]
    mean: float
    v1: float
    top1_cls: float
    top1_loc: float
    carried: float
    """The mean at the thresholds of the tuning split."""


@dataclass(frozen=True)
class BoxPanel:
    """A chart and what is said of it."""

    title: str
    chart: Markup
    text: str


@dataclass(frozen=True)
class BoxCase:
    """One image with its true boxes and those of either kind of maps."""

    name: str
    text: str
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class BoxSection:
    """All of the section; lists that are empty are left out."""

    claim: str
    levels: Sequence[str]
    rows: Sequence[BoxRow]
    tuned_on: str
    panels: Sequence[BoxPanel]
    distribution: BoxPanel | None
    cases: Sequence[BoxCase]
    legend: Sequence[tuple[str, str]]


def section(
    results: Sequence[dict[str, Any]],
    distributions: dict[str, ScoreDistribution],
    cases: Sequence[BoxCase],
    trained_by: str,
) -> BoxSection:
    """The section from the localization records of ``metrics.json``.

    Args:
        results: ``metrics["wsol"]``, at least one.
        distributions: by kind of maps, of the last split.
        cases: the images to show.
        trained_by: the method that trained the classifier, in words.
    """
    rows = [_row(result) for result in results]
    kinds = list(dict.fromkeys(result["masks"] for result in results))
    last = results[-1]["split"]
    return BoxSection(
        claim=claim([result for result in results if result["split"] == last], trained_by),
        levels=[f"{delta} %" for delta in results[0]["max_box_acc_v2"]],
        rows=rows,
        tuned_on=results[0]["tuned"]["split"],
        panels=_panels([result for result in results if result["split"] == last]),
        distribution=_distribution(distributions) if distributions else None,
        cases=cases,
        legend=[(name_of_masks(kind), style_of_masks(f"{kind} seed")) for kind in kinds],
    )


def claim(results: Sequence[dict[str, Any]], trained_by: str) -> str:
    """The result on one split in one sentence."""
    found = {result["masks"]: result for result in results}
    where = place(results[0]["split"], results[0]["images"])
    plain = next(name for name in found if not climbs(name))
    base = found[plain]["max_box_acc_v2_mean"]
    method = next((name for name in found if climbs(name)), None)
    if method is None:
        return f"Maps of the classifier trained by {trained_by} reach {base:.1f} MaxBoxAccV2 on {where}."
    own = found[method]["max_box_acc_v2_mean"]
    name, gain = name_of_masks(method), own - base
    figures = f"{own:.1f} MaxBoxAccV2 against {base:.1f} without climbing, {trained_by}, on {where}"
    if gain >= 0.5:
        return f"{name} improves the boxes by {gain:.1f} points: {figures}."
    if gain > -0.5:
        return f"{name} makes no notable difference to the boxes here: {figures}."
    return f"{name} does not help the boxes here: {figures}, a loss of {-gain:.1f} points."


def _row(result: dict[str, Any]) -> BoxRow:
    return BoxRow(
        name=name_of_masks(result["masks"]),
        style=result["masks"],
        place=place(result["split"], result["images"]),
        levels=list(result["max_box_acc_v2"].values()),
        mean=result["max_box_acc_v2_mean"],
        v1=result["max_box_acc_v1"],
        top1_cls=result["top1_cls"],
        top1_loc=result["top1_loc"],
        carried=result["tuned"]["mean"],
    )


def _panels(results: Sequence[dict[str, Any]]) -> list[BoxPanel]:
    """Box accuracy over the threshold, one panel for each level of intersection over union."""
    panels = []
    for delta in results[0]["max_box_acc_v2"]:
        lines, markers, said = [], [], []
        for result in results:
            tau, accuracy = result["curves"]["tau"], result["curves"]["box_acc"][delta]
            name, style = name_of_masks(result["masks"]), style_of_masks(f"{result['masks']} seed")
            points = tuple((x, y) for x, y in zip(tau, accuracy, strict=True))
            lines.append(Curve(name, points, style))
            best, where = result["max_box_acc_v2"][delta], result["thresholds"][delta]
            markers.append(Marker(where, best, f"{name}: {best:.1f} at {where:.2f}", style, "best"))
            said.append(f"{name} {best:.1f} at {where:.2f}")
        chart = curves(lines, x_label="CAM threshold", y_label="box accuracy, %", markers=markers)
        where = place(results[0]["split"], results[0]["images"])
        panels.append(BoxPanel(f"IoU of {delta} %, {where}", chart, "; ".join(said) + "."))
    return panels


def _distribution(found: dict[str, ScoreDistribution]) -> BoxPanel:
    """The sorted scores of all pixels (Fig. 15)."""
    lines = [
        Curve(name_of_masks(kind), tuple(zip(own.rank.tolist(), own.score.tolist(), strict=True))[::4], kind)
        for kind, own in found.items()
    ]
    chart = curves(lines, x_label="share of the pixels", y_label="score", decimals=3)
    said = [
        f"{name_of_masks(kind)}: {own.inside:.2f} inside the true boxes and {own.outside:.2f} outside, a gap of "
        f"{own.gap:.2f}; mean {own.area:.2f}"
        for kind, own in found.items()
    ]
    return BoxPanel("Scores of all pixels in falling order", chart, ". ".join(said) + ".")
