"""What to do next with a run: rules over what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from advcam.attribute.settings import climbs
from advcam.report.figures import NOTABLE, Figure, Headline
from advcam.report.wording import Hint, counted, percent

# Points of mIoU that a better threshold must bring before it is worth a sentence.
WORTH_A_SWEEP = 0.01


@dataclass(frozen=True)
class Situation:
    """What the hints depend on."""

    out: str
    """The run folder as it was given."""
    method: str
    masks: int
    """Masks that the run has written."""
    flagged: int
    """Images in the list of flagged ones."""
    classifier_level: str | None
    epochs: int
    ground_truth: int
    """Images with ground truth."""
    limit: int | None
    figures: Sequence[Figure]
    headline: Headline | None
    edges: bool
    """A best threshold lies at the edge of the sweep."""


def next_steps(now: Situation) -> list[Hint]:
    """The hints that apply, the most pressing first."""
    found: list[Hint] = []
    if now.classifier_level in ("weak", "unfit"):
        text = "Train the classifier longer, or give it more images: maps cannot be better than what it has learnt."
        found.append(Hint(text, f"--classify.epochs {2 * now.epochs}"))
    if now.flagged:
        text = (
            f"Look at the {counted(now.flagged, 'flagged image')}: their labels may be wrong, or the object small or "
            "hidden. Correct the labels, or leave these images out of what is trained on the masks."
        )
        found.append(Hint(text))
    if now.limit is not None:
        text = "Run on all images, into another folder: the same command without"
        found.append(Hint(text, f"--limit {now.limit}"))
    found += of_the_seeds(now)
    if now.masks:
        text = f"Which of the {counted(now.masks, 'mask')} to look at first, listed here under All images afterwards."
        found.append(Hint(text, f"advcam review --out {now.out} && advcam report --out {now.out}"))
        text = "Take them into your annotation tool or training: Label Studio, CVAT, COCO, YOLO, labelme, VOC, PNG."
        found.append(Hint(text, f"advcam export --out {now.out} --format labelstudio"))
    else:
        found.append(Hint("Turn the maps into masks.", f"advcam refine --out {now.out}"))
    if now.ground_truth == 0:
        text = (
            "Draw masks for a dozen images and run the evaluation again: only then is it known how good the masks are, "
            "and which threshold suits them."
        )
        found.append(Hint(text, f"advcam evaluate --out {now.out}"))
    return found


def of_the_seeds(now: Situation) -> list[Hint]:
    """Hints on method, threshold and splits."""
    found = []
    shown = now.headline
    of_masks = None if shown is None or shown.mask is None else shown.gain_of(shown.mask)
    gain = shown.gain if shown is not None and of_masks is None else of_masks
    if not climbs(now.method):
        text = "These are maps of the unchanged images. Climb the images to find more of each object."
        found.append(Hint(text, "--attribute.method advcam"))
    elif gain is not None and gain < NOTABLE:
        text = (
            "Climbing did not pay here. Where maps are coarse against the objects a finer grid or larger scales help; "
            "where they spread too far, fewer steps or a stronger regularizer."
        )
        found.append(Hint(text, "--backbone.output_stride 16   --climb.steps 10   --climb.reg_weight 30"))
    lost = lost_to_threshold(now.figures)
    if lost is not None:
        own, best = lost
        text = (
            f"Another threshold suits this data better: {best.name}s reach {percent(best.miou)} mIoU at "
            f"{best.threshold:.2f} on {best.split}, and {percent(own.miou)} at the {own.threshold:.2f} of this run."
        )
        found.append(Hint(text, "--seed.threshold swept"))
    if now.headline is not None and now.headline.seeds.upper_bound:
        text = "Measure on images that took no part in choosing the threshold: name two lists with ground truth."
        found.append(Hint(text, "--splits.maps '[train, val]'"))
    if now.edges:
        found.append(Hint("Widen the sweep of thresholds.", "--sweep.high 0.9"))
    return found


def lost_to_threshold(figures: Sequence[Figure]) -> tuple[Figure, Figure] | None:
    """The method's seed at the run's threshold and at the best one of the same split, where that is notably better."""
    for own in figures:
        for best in figures:
            same = own.is_seed and own.masks == best.masks and own.split == best.split and climbs(own.method)
            if same and best.upper_bound and not own.upper_bound and (best.miou or 0) - (own.miou or 0) > WORTH_A_SWEEP:
                return own, best
    return None
