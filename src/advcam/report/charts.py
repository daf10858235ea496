"""The report's charts as inline SVG. Colours come from the style sheet by class, so that they follow its theme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from advcam.report.svg import Axis, element, path, ticks

BAR, BAR_GAP = 8.0, 2.0
# Room around the plotted area of a curve chart: left, right, top, bottom.
MARGINS = (44.0, 14.0, 12.0, 40.0)


@dataclass(frozen=True)
class Bar:
    """One bar from 0 to ``value``, a part of the whole in [0, 1]; None is a value that is not defined."""

    label: str
    value: float | None
    style: str
    """Class of the style sheet: which colour."""
    text: str | None = None
    """What the tooltip says of the value; its percentage unless told."""


def bars(row: Sequence[Bar], mark: tuple[float, str] | None = None, grid: bool = True) -> Markup:
    """Horizontal bars under one another, over the full width of wherever they are put.

    Coordinates across are percentages, so that the bars of all rows share one scale and text beside them keeps its
    size on a narrow screen.

    Args:
        row: the bars, top to bottom.
        mark: a value in [0, 1] to mark across them, such as chance, and what it is.
        grid: lines at every quarter.

    >>> "width=\\"38.8%\\"" in bars([Bar("AdvCAM", 0.388, "advcam")])
    True
    """
    height = len(row) * (BAR + BAR_GAP) - BAR_GAP + 2
    quarters = (0, 25, 50, 75, 100) if grid else ()
    parts = [element("line", x1=f"{at}%", x2=f"{at}%", y1=0, y2=height, class_="grid") for at in quarters]
    for index, bar in enumerate(row):
        y = 1 + index * (BAR + BAR_GAP)
        text = bar.text or ("not defined" if bar.value is None else f"{100 * bar.value:.1f}")
        title = element("title", f"{bar.label}: {text}")
        if bar.value is None:
            parts.append(element("circle", title, cx=3, cy=y + BAR / 2, r=2, class_="undefined"))
        else:
            width = f"{100 * min(max(bar.value, 0.0), 1.0):.4g}%"
            parts.append(element("rect", title, x=0, y=y, width=width, height=BAR, rx=2, class_=f"fill-{bar.style}"))
    if mark is not None:
        at = f"{100 * mark[0]:.4g}%"
        parts.append(element("line", element("title", mark[1]), x1=at, x2=at, y1=0, y2=height, class_="mark"))
    label = "; ".join(f"{bar.label} {'–' if bar.value is None else f'{100 * bar.value:.1f}'}" for bar in row)
    return element("svg", *parts, class_="bars", width="100%", height=height, role="img", aria_label=label)


@dataclass(frozen=True)
class Curve:
    """One line of a chart; a point whose value is None interrupts it."""

    label: str
    points: tuple[tuple[float, float | None], ...]
    style: str


@dataclass(frozen=True)
class Marker:
    """A point of a chart that matters: "chosen" is filled and has a line down to the axis, "best" is a ring."""

    x: float
    y: float
    label: str
    style: str
    kind: Literal["chosen", "best"]


def curves(
    lines: Sequence[Curve],
    *,
    x_label: str,
    y_label: str,
    markers: Sequence[Marker] = (),
    size: tuple[float, float] = (520.0, 300.0),
    from_zero: bool = True,
    factor: float = 1.0,
    decimals: int = 1,
) -> Markup:
    """Lines over a common axis.

    Args:
        lines: at least one with a defined point.
        x_label, y_label: names of the axes.
        markers: points that matter.
        size: width and height of the drawing in its own units; it scales to the width of the page.
        from_zero: begin the upright axis at zero; else just below the lowest value.
        factor: what values are multiplied by in labels: 100 for percentages.
        decimals: of values in tooltips.
    """
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points if y is not None]
    left, right, top, bottom = MARGINS
    width, height = size
    x_axis = Axis(min(xs), max(max(xs), min(xs) + 1e-9), left, width - right)
    y_axis = Axis(*limits(ys, from_zero), height - bottom, top)
    parts = axes(x_axis, y_axis, factor, x_label, y_label, size)
    for line in lines:
        for run in unbroken(line.points):
            route = [(x_axis(x), y_axis(y)) for x, y in run]
            parts.append(element("path", d=path(route), class_=f"line line-{line.style}"))
    parts += targets(lines, x_axis, y_axis, factor, decimals, x_label)
    for marker in markers:
        x, y = x_axis(marker.x), y_axis(marker.y)
        if marker.kind == "chosen":
            down = {"x1": x, "x2": x, "y1": y, "y2": y_axis.start}
            parts.append(element("line", **down, class_=f"drop line-{marker.style}"))
        shape = "dot" if marker.kind == "chosen" else "ring"
        title = element("title", marker.label)
        parts.append(element("circle", title, cx=x, cy=y, r=5, class_=f"{shape} {shape}-{marker.style}"))
    label = f"{y_label} over {x_label}: " + ", ".join(line.label for line in lines)
    return element("svg", *parts, class_="curves", viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=label)


def limits(values: Sequence[float], from_zero: bool) -> tuple[float, float]:
    """Where an axis begins and ends so that the values have some room.

    >>> limits([0.2, 0.7], from_zero=True), limits([3.0], from_zero=True)
    ((0.0, 0.756), (0.0, 3.24))
    """
    low, high = 0.0 if from_zero else min(values), max(values)
    room = 0.08 * (high - low) or 0.1
    return (0.0 if from_zero else max(0.0, low - room)), high + room


def axes(
    x_axis: Axis,
    y_axis: Axis,
    factor: float,
    x_label: str,
    y_label: str,
    size: tuple[float, float],
) -> list[Markup]:
    """Grid lines, tick labels and the names of the axes."""
    parts = []
    bottom = y_axis.start
    parts.append(element("line", x1=x_axis.start, x2=x_axis.end, y1=bottom, y2=bottom, class_="base"))
    for value in ticks(y_axis.low, y_axis.high, 4):
        y = y_axis(value)
        parts.append(element("line", x1=x_axis.start, x2=x_axis.end, y1=y, y2=y, class_="grid"))
        parts.append(element("text", f"{factor * value:g}", x=x_axis.start - 8, y=y + 4, class_="tick end"))
    for value in ticks(x_axis.low, x_axis.high, 6):
        parts.append(element("text", f"{value:g}", x=x_axis(value), y=bottom + 18, class_="tick middle"))
    middle = (x_axis.start + x_axis.end) / 2
    parts.append(element("text", x_label, x=middle, y=size[1] - 4, class_="axis middle"))
    height = (y_axis.start + y_axis.end) / 2
    turned = f"rotate(-90 12 {height:g})"
    parts.append(element("text", y_label, x=12, y=height, transform=turned, class_="axis middle"))
    return parts


def unbroken(points: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """The stretches of a line between values that are not defined.

    >>> unbroken([(0, 1.0), (1, None), (2, 3.0), (3, 4.0)])
    [[(0, 1.0)], [(2, 3.0), (3, 4.0)]]
    """
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            runs.append([])
        else:
            runs[-1].append((x, y))
    return [run for run in runs if run]


def targets(
    lines: Sequence[Curve], x_axis: Axis, y_axis: Axis, factor: float, decimals: int, x_label: str
) -> list[Markup]:
    """Invisible discs around the points, which carry the tooltips."""
    return [
        element(
            "circle",
            element("title", f"{line.label}, {x_label} {x:g}: {factor * y:.{decimals}f}"),
            cx=x_axis(x),
            cy=y_axis(y),
            r=6,
            class_="target",
        )
        for line in lines
        for x, y in line.points
        if y is not None
    ]
