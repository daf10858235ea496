"""What each part of the climb brings (Fig. 11): seed mIoU and noise over the steps, and over lambda, tau and xi."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from advcam.analyse.plot import colour, dash, dress
from advcam.analyse.result import Analysis
from advcam.analyse.seeds import SeedCurve, seed_curve
from advcam.analyse.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The regularizer's weight and the step are varied around the subject's own by these factors (the paper's lambda is 7).
WEIGHT_FACTORS = (0.0, 1 / 7, 3 / 7, 5 / 7, 1.0, 10 / 7, 2.0)
STEP_FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0)
MASK_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
PARTS: dict[str, dict[str, Any]] = {
    "neither": {"suppress_others": False, "reg_weight": 0.0},
    "suppression": {"suppress_others": True, "reg_weight": 0.0},
    "restriction": {"suppress_others": False},
    "both": {"suppress_others": True},
}
# Section 5.2 and 7.2, ResNet-50, PASCAL VOC 2012 train.
PAPER: dict[str, float | str] = {
    "mIoU of CAM": 48.8,
    "best mIoU, both": 55.6,
    "step of the best mIoU, neither": 8,
    "mIoU, lambda 0": 50.43,
    "mIoU, lambda 7": 55.55,
    "spread of mIoU over mask_threshold": "below 1",
}


def fig11(
    subject: Subject,
    *,
    panels: str = "abcde",
    weight_factors: Sequence[float] = WEIGHT_FACTORS,
    mask_thresholds: Sequence[float] = MASK_THRESHOLDS,
    step_factors: Sequence[float] = STEP_FACTORS,
) -> Analysis:
    """Fig. 11: (a) seed mIoU and (b) noise over the steps, by part of the objective; (c) lambda, (d) tau, (e) xi.

    Args:
        subject: its images need masks. With its saliency maps a fifth curve is drawn in (a) and (b).
        panels: which of them; a and b are one.
        weight_factors, step_factors: of the subject's own lambda and step size.
        mask_thresholds: values of tau.

    Raises:
        DataError: an image has no ground truth.
    """
    plain = replace(subject, saliency=None)
    rows: list[dict[str, Any]] = []
    numbers: dict[str, Any] = {}
    if set(panels) & set("ab"):
        variants = {name: plain.with_climb(**changes) for name, changes in PARTS.items()}
        if subject.saliency is not None:
            variants["both, saliency"] = subject
        for name, variant in variants.items():
            curve = seed_curve(variant, f"fig11 {name}")
            rows += curve_rows("a, b", name, None, curve)
            numbers |= curve_numbers(name, curve)
    sweeps: dict[str, tuple[str, Sequence[float]]] = {
        "c": ("reg_weight", [factor * subject.climb.reg_weight for factor in weight_factors]),
        "d": ("mask_threshold", list(mask_thresholds)),
        "e": ("step_size", [factor * subject.climb.step_size for factor in step_factors]),
    }
    for panel, (name, values) in sweeps.items():
        last = []
        for value in values if panel in panels else ():
            curve = seed_curve(plain.with_climb(**{name: value}), f"fig11 {name} {value:g}")
            rows += curve_rows(panel, name, value, curve)
            last.append(100 * curve.miou[-1])
            if panel == "c" and value in (0, subject.climb.reg_weight):
                numbers[f"mIoU, lambda {'7' if value else '0'}"] = last[-1]
        if last:
            numbers[f"spread of mIoU over {name}"] = max(last) - min(last)
    caption = (
        "Seed mIoU and proportion of noise, each at the best threshold on these very images, so that differences "
        "count and not levels. (a), (b): over the steps, with suppression of other classes, restriction of high "
        "attributions, both or neither. (c)-(e): at the last step (line) and at the best one (dots) over lambda, tau "
        "and the step size, in the network's own units; lambda 7 stands for the subject's own."
    )
    return Analysis(
        "fig11",
        "Ablation of the climb",
        caption,
        rows,
        numbers,
        paper=PAPER,
        facts=subject.described(),
        draw=lambda figure: draw(figure, rows, subject),
        size=(12.0, 6.4),
    )


def curve_rows(panel: str, name: str, value: float | None, curve: SeedCurve) -> list[dict[str, Any]]:
    """One row for each step of a curve that was scored."""
    scored = zip(curve.steps, curve.best_scores, curve.thresholds, curve.carried, strict=True)
    return [
        {"panel": panel, "setting": name, "value": value, "step": step}
        | {"miou": 100 * best.miou, "miou_at_cam_threshold": 100 * carried, "noise": best.noise}
        | {"threshold": threshold, "precision": 100 * best.precision, "recall": 100 * best.recall}
        for step, best, threshold, carried in scored
    ]


def curve_numbers(name: str, curve: SeedCurve) -> dict[str, Any]:
    """What a curve of (a) comes to."""
    best = curve.best
    return {
        "mIoU of CAM": 100 * curve.miou[0],
        "best threshold of CAM": curve.thresholds[0],
        "noise of CAM": curve.best_scores[0].noise,
        f"best mIoU, {name}": 100 * curve.miou[best],
        f"step of the best mIoU, {name}": curve.steps[best],
        f"mIoU at the end, {name}": 100 * curve.miou[-1],
        f"noise at the end, {name}": curve.best_scores[-1].noise,
    }


def draw(figure: Figure, rows: Sequence[Mapping[str, Any]], subject: Subject) -> None:
    """The five panels; those that were not asked for stay empty."""
    panels = figure.subplots(2, 3)
    over_steps = [row for row in rows if row["panel"] == "a, b"]
    draw_steps(panels[0, 0], over_steps, "miou", "seed mIoU, %", "(a) seed")
    draw_steps(panels[0, 1], over_steps, "noise", "proportion of noise", "(b) noise")
    places = ((panels[0, 2], "c", "λ"), (panels[1, 0], "d", "τ"), (panels[1, 1], "e", "step size ξ"))
    for axes, panel, name in places:
        draw_values(axes, [row for row in rows if row["panel"] == panel], name, f"({panel}) {name}", panel == "e")
    panels[1, 2].axis("off")
    note = f"{len(subject.records)} images, scales {', '.join(f'{scale:g}' for scale in subject.scales)}"
    panels[1, 2].text(0, 0.9, note, fontsize=9, va="top", wrap=True)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    panels[1, 2].legend(handles, labels, frameon=False, loc="center left", title="(a), (b)", alignment="left")


def draw_steps(axes: Axes, rows: Sequence[Mapping[str, Any]], value: str, label: str, title: str) -> None:
    """A line for each part of the objective, over the steps."""
    dress(axes, "step t", label, title)
    for index, name in enumerate(dict.fromkeys(row["setting"] for row in rows)):
        own = [row for row in rows if row["setting"] == name]
        steps, values = [row["step"] for row in own], [row[value] for row in own]
        axes.plot(steps, values, color=colour(index), linestyle=dash(index), marker=".", label=name)


def draw_values(axes: Axes, rows: Sequence[Mapping[str, Any]], label: str, title: str, logarithmic: bool) -> None:
    """mIoU at the last and at the best step over the values of one setting."""
    dress(axes, label, "seed mIoU, %", title)
    values = list(dict.fromkeys(row["value"] for row in rows))
    if not values:
        return
    by_value = [[row for row in rows if row["value"] == value] for value in values]
    axes.plot(values, [own[-1]["miou"] for own in by_value], color=colour(0), marker="o", label="last step")
    best = [max(row["miou"] for row in own) for own in by_value]
    axes.plot(values, best, color=colour(1), marker="s", linestyle="", label="best step")
    axes.axhline(rows[0]["miou"], color="#555555", linestyle=":", label="CAM")
    if logarithmic:
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(values, [f"{value:.2g}" for value in values])
    axes.legend(frameon=False, fontsize=8)
