"""What the figures say, in sentences. Plain where AdvCAM does not help and where nothing was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from advcam.report.figures import NOTABLE, Figure, Headline, class_rows


@dataclass(frozen=True)
class Notice:
    """Something that a reader must know before trusting the figures."""

    level: Literal["note", "warning"]
    title: str
    text: str


@dataclass(frozen=True)
class Hint:
    """What to do next, and the command or setting for it."""

    text: str
    command: str | None = None


def calibrated(chosen: Mapping[str, Any]) -> str:
    """What ``climb.calibrate`` came to."""
    images = counted(chosen["images"], "image")
    return (
        f"step {chosen['step_size']:.3g} and lambda {chosen['reg_weight']:.3g} chosen on {images} by "
        f"their labels: other cells grow {chosen['others']:.2f} times in 20 free steps, the discriminative ones move "
        f"by {100 * chosen['deviation']:.0f} %"
    )


def percent(value: float | None) -> str:
    """A score in [0, 1] as people write it.

    >>> percent(0.3881), percent(None)
    ('38.8', '–')
    """
    return "–" if value is None else f"{100 * value:.1f}"


def points(difference: float | None) -> str:
    """A difference of scores in points, with its sign.

    >>> points(0.0214), points(-0.006), points(0.0001), points(None)
    ('+2.1', '−0.6', '±0.0', '')
    """
    if difference is None:
        return ""
    text = f"{abs(100 * difference):.1f}"
    return f"±{text}" if text == "0.0" else f"{'+' if difference > 0 else '−'}{text}"


def tone(difference: float | None) -> str:
    """The class of the style sheet for a difference, by what is written of it.

    >>> tone(0.01), tone(-0.01), tone(0.0001), tone(None)
    ('up', 'down', '', '')
    """
    return {"+": "up", "−": "down"}.get(points(difference)[:1], "")


def counted(count: int, thing: str) -> str:
    """A number of things.

    >>> counted(1, "image"), counted(58, "image"), counted(2, "class")
    ('1 image', '58 images', '2 classes')
    """
    plural = f"{thing}es" if thing.endswith(("s", "x")) else f"{thing}s"
    return f"{count:,} {thing if count == 1 else plural}"


def place(split: str, images: int) -> str:
    """Where something was measured.

    >>> place("val", 58), place("all", 30)
    ('val (58 images)', 'all images (30)')
    """
    return f"all images ({images})" if split == "all" else f"{split} ({counted(images, 'image')})"


def threshold_phrase(figure: Figure) -> str:
    """The threshold of a figure and where it was chosen."""
    if figure.threshold is None:
        return "no threshold"
    return f"threshold {figure.threshold:.2f}, {figure.source}"


def claim(found: Headline) -> str:
    """The result in one sentence: of the masks where both kinds of maps have them, else of the seeds."""
    base, method, gain, what = found.seeds.baseline, found.method, found.gain, "seeds"
    where = place(found.seeds.split, found.seeds.images)
    if base is None or method is None or gain is None:
        only = found.shown[0]
        return f"{only.name}s reach {percent(only.miou)} mIoU on {where}."
    name = method.name.removesuffix(" seed")
    if found.mask is not None and (of_masks := found.gain_of(found.mask)) is not None and found.baseline_mask:
        base, method, gain, what = found.baseline_mask, found.mask, of_masks, "masks"
    figures = f"{percent(method.miou)} mIoU against {percent(base.miou)} for CAM on {where}"
    if gain >= NOTABLE:
        return f"{name} improves the {what} by {points(gain).lstrip('+')} points: {figures}."
    if gain > -NOTABLE:
        return f"{name} makes no notable difference to the {what} here: {figures}."
    return f"{name} does not help the {what} here: {figures}, a loss of {points(gain).lstrip('−')} points."


def claim_details(found: Headline) -> list[str]:
    """The sentences below the claim: thresholds, how many classes gain, what the masks reach."""
    group = found.seeds
    details = []
    if found.baseline_mask is not None and group.baseline is not None and found.method is not None:
        pair = f"{percent(found.method.miou)} against {percent(group.baseline.miou)}"
        details.append(f"The seeds reach {pair} ({points(found.gain)}).")
    if group.upper_bound:
        details.append(
            "Each seed has the threshold that is best on the ground truth of these very images, so these figures are "
            "upper bounds; they can be compared with one another."
        )
    elif group.figures[0].chosen_by == "sweep":
        details.append(f"Each threshold is the {group.source}.")
    else:
        details.append(f"Threshold {group.figures[0].threshold:.2f}, {group.source}.")
    method = found.method
    if method is not None and group.baseline is not None:
        rows = class_rows([group.baseline, method])
        gains = [row.gain for row in rows if row.name != "background" and row.gain is not None]
        ahead = sum(gain > 0 for gain in gains)
        details.append(f"{method.name.removesuffix(' seed')} is ahead in {ahead} of {counted(len(gains), 'class')}.")
    details += own_threshold(found)
    if found.mask is not None:
        text = f"The masks ({found.mask.name}) reach {percent(found.mask.miou)} mIoU"
        if found.mask.source != group.source:
            text += f" with {threshold_phrase(found.mask)}"
        text += " (an upper bound)" if found.mask.upper_bound else ""
        if found.baseline_mask is not None:
            plain = f"{percent(found.baseline_mask.miou)} for those of CAM"
            text += f", against {plain} ({points(found.gain_of(found.mask))})"
        details.append(f"{text}.")
    return details


def own_threshold(found: Headline) -> list[str]:
    """What the seeds come to at the threshold that the run's masks were made with, where that is another one."""
    own = found.own
    if own is None or own.baseline is None:
        return []
    method = own.seed(baseline=False)
    if method is None:
        return [f"With {threshold_phrase(own.baseline)}, it is {percent(own.baseline.miou)}."]
    return [
        f"With thresholds {own.source}, it is {percent(method.miou)} against {percent(own.baseline.miou)} "
        f"({points(own.gain(method))})."
    ]


def not_measured(ground_truth: int) -> list[str]:
    """What to say instead of a claim, when so many images have ground truth."""
    if ground_truth:
        return [
            "The run has not been evaluated yet.",
            f"{counted(ground_truth, 'image')} with ground-truth masks wait for `advcam evaluate`.",
        ]
    return [
        "Nothing is measured: no image has a ground-truth mask.",
        "Maps and masks can only be judged by eye: nothing here says how good they are, or whether climbing helped.",
    ]


def classifier_notice(level: str, sentence: str) -> Notice | None:
    """A classifier that maps cannot rest on; nothing where it is good."""
    if level == "good":
        return None
    if level == "unknown":
        return Notice("note", "The classifier was not measured", sentence)
    return Notice("warning", f"The classifier is {level}", sentence)


def wide_maps(width: float) -> str:
    """What maps as wide as objects mean for climbing, and what to do."""
    return (
        f"Plain maps are above half of their maximum on {width:.0%} of an image, as wide as objects are, and climbing "
        f"such maps gains little: see 'When climbing gains' in docs/climbing.md for networks with narrower maps."
    )


def doubts(found: Headline | None, edges: Sequence[str], limit: int | None) -> list[Notice]:
    """Reasons to trust the figures less.

    Args:
        found: the figures the page opens with.
        edges: the seeds whose best threshold lies at the edge of the sweep.
        limit: the number of images per split of a dry run.
    """
    notices = []
    if limit is not None:
        text = (
            f"Only the first {counted(limit, 'image')} of every split took part: figures are for a look, not to report."
        )
        notices.append(Notice("warning", "A dry run", text))
    if found is not None and found.seeds.images < 30:
        text = (
            f"The comparison rests on {counted(found.seeds.images, 'image')}. "
            "A few points of difference can be chance with so few."
        )
        notices.append(Notice("note", "Few images", text))
    if edges:
        text = (
            f"The best threshold of {', '.join(edges)} is the first or last one tried, so a better one may lie beyond."
        )
        notices.append(Notice("note", "The sweep is too narrow", text))
    return notices
