"""The figures of ``metrics.json`` as the report reads them: which may be compared, and which come first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from advcam.attribute.settings import climbs, plain_kind

NAMES = {
    "deeplab": "DeepLab", "cct": "CCT", "cam": "CAM", "advcam": "AdvCAM", "crf": "CRF", "irn": "IRN", "psa": "PSA",
    "gradcam": "Grad-CAM", "gradcam_pp": "Grad-CAM++", "layercam": "LayerCAM", "tokens": "Tokens", "acol": "ACoL",
    "seam": "SEAM", "sub_categories": "SC-CAM",
}  # fmt: skip
# Segmentation networks: their labels are no masks of the run.
NETWORKS = ("deeplab", "cct")
# Points of mIoU below which a difference is not called one.
NOTABLE = 0.005

Style = Literal["cam", "advcam", "cam-mask", "mask"]


@dataclass(frozen=True)
class Figure:
    """The score of one set of masks on one split, with all that is needed to read it. Scores lie in [0, 1]."""

    masks: str
    """As in ``metrics.json``: "cam seed", "advcam seed", "advcam + crf", ..."""
    split: str
    images: int
    threshold: float | None
    source: str | None
    """Where the threshold, or the weights of a network, were chosen, in words."""
    upper_bound: bool
    """The threshold or the weights are the best ones on the very ground truth that is scored."""
    chosen_by: str | None
    """ "fixed", "maps" or "sweep"."""
    miou: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    noise: float | None
    iou: Mapping[str, float | None]
    """By class, with the background."""
    set_aside: float = 0.0
    """Part of the pixels that the masks leave open, which count as background."""

    @property
    def method(self) -> str:
        return self.masks.split(" ", 1)[0]

    @property
    def is_seed(self) -> bool:
        return self.masks.endswith(" seed")

    @property
    def name(self) -> str:
        return name_of_masks(self.masks)

    @property
    def style(self) -> Style:
        return style_of_masks(self.masks)


def name_of_masks(masks: str) -> str:
    """What people read for a set of masks.

    >>> name_of_masks("advcam + crf")
    'AdvCAM + CRF'
    >>> name_of_masks("advcam_gradcam_pp seed")
    'AdvCAM on Grad-CAM++ seed'
    """
    return " ".join(_name(word) for word in masks.split(" "))


def _name(word: str) -> str:
    plain = plain_kind(word)
    named = NAMES.get(word, word)
    return named if word in NAMES or plain == word else f"AdvCAM on {NAMES.get(plain, plain)}"


def is_plain(method: str) -> bool:
    """Whether it is a map of the unchanged images."""
    return method not in NETWORKS and not climbs(method)


def style_of_masks(masks: str) -> Style:
    """The colour of a set of masks, the same all over the page.

    >>> style_of_masks("advcam seed"), style_of_masks("advcam + crf")
    ('advcam', 'mask')
    """
    if is_plain(masks.split(" ", 1)[0]):
        return "cam" if masks.endswith(" seed") else "cam-mask"
    return "advcam" if masks.endswith(" seed") else "mask"


def read_figures(metrics: Mapping[str, Any] | None) -> list[Figure]:
    """All figures of ``metrics.json``; none where nothing was measured."""
    return [
        Figure(
            masks=entry["masks"],
            split=entry["split"],
            images=entry["images"],
            threshold=entry["threshold"],
            source=entry["threshold_source"] or entry.get("weights_source"),
            upper_bound=entry["threshold_chosen_on_this_split"] or entry.get("weights_chosen_on_this_split", False),
            chosen_by=entry["threshold_method"],
            **{name: entry[name] for name in ("miou", "precision", "recall", "f1", "noise", "iou")},
            set_aside=entry.get("set_aside", 0.0),
        )
        for entry in (metrics or {}).get("results", [])
        if entry["miou"] is not None
    ]


@dataclass(frozen=True)
class Group:
    """Figures of one split whose thresholds, or weights, were chosen the same way, so that they may be compared."""

    split: str
    images: int
    source: str
    upper_bound: bool
    figures: tuple[Figure, ...]

    def seed(self, baseline: bool) -> Figure | None:
        """The seed of plain CAM, or of the method."""
        return next((f for f in self.figures if f.is_seed and is_plain(f.method) == baseline), None)

    @property
    def baseline(self) -> Figure | None:
        return self.seed(baseline=True)

    def gain(self, figure: Figure) -> float | None:
        """How far a figure lies above that of plain CAM at the same stage in this group."""
        return gain_over(counterpart(figure, self.figures), figure)


def counterpart(figure: Figure, figures: Sequence[Figure]) -> Figure | None:
    """The figure of plain CAM at the same stage on the same images: the seed for a seed, CRF for CRF."""
    if is_plain(figure.method):
        return None
    name = " ".join([plain_kind(figure.method), *figure.masks.split(" ")[1:]])
    return next((f for f in figures if f.masks == name and f.split == figure.split), None)


def gain_over(base: Figure | None, figure: Figure) -> float | None:
    """Points, in [-1, 1], that a figure lies above another; None where one of them is not there."""
    return None if base is None or base.miou is None or figure.miou is None else figure.miou - base.miou


def groups(figures: Sequence[Figure]) -> list[Group]:
    """Figures that may be compared, in the order of their splits; upper bounds come last in a split."""
    keys = dict.fromkeys((f.split, f.images, f.source or "no threshold", f.upper_bound) for f in figures)
    splits = list(dict.fromkeys(f.split for f in figures))
    ordered = sorted(keys, key=lambda key: (splits.index(key[0]), key[3]))
    return [
        Group(*key, tuple(f for f in figures if (f.split, f.images, f.source or "no threshold", f.upper_bound) == key))
        for key in ordered
    ]


@dataclass(frozen=True)
class Headline:
    """The figures that the page opens with."""

    seeds: Group
    """Seeds of CAM and of the method on one split, thresholds chosen alike."""
    mask: Figure | None
    """The run's masks on the same split; their threshold may come from elsewhere."""
    own: Group | None = None
    """The seeds on the same split at the run's own threshold, where that was chosen in another way."""
    baseline_mask: Figure | None = None
    """Plain CAM's masks of the same kind on the same split, where they were made."""

    @property
    def method(self) -> Figure | None:
        """The seed of the method; None where the run stopped at plain CAM."""
        return self.seeds.seed(baseline=False)

    @property
    def gain(self) -> float | None:
        """Points, in [-1, 1], that the method's seed lies above the seed of plain CAM."""
        return None if self.method is None else self.seeds.gain(self.method)

    def gain_of(self, figure: Figure) -> float | None:
        """How far a figure lies above that of plain CAM at the same stage: seed over seed, mask over mask."""
        return gain_over(self.baseline_mask, figure) if figure is self.mask else self.seeds.gain(figure)

    @property
    def shown(self) -> tuple[Figure, ...]:
        """The seeds and the masks, in the order in which they are made."""
        found = (self.seeds.baseline, self.method, self.baseline_mask, self.mask)
        return tuple(f for f in found if f is not None)


def headline(figures: Sequence[Figure]) -> Headline | None:
    """The comparison to open with: the most trustworthy one, and of these the one on the split measured last.

    A threshold that was chosen on the ground truth of another split is best: each method gets the one that suits it,
    and none has seen the images that are scored. Then one that was chosen without ground truth, and only where there
    is nothing else the best one on the images themselves, which is an upper bound.
    """
    candidates = [group for group in groups(figures) if any(figure.is_seed for figure in group.figures)]
    if not candidates:
        return None

    def trust(group: Group) -> int:
        return 0 if group.upper_bound else 2 if group.figures[0].chosen_by == "sweep" else 1

    best = max(map(trust, candidates))
    seeds = [group for group in candidates if trust(group) == best][-1]
    masks = [f for f in figures if not f.is_seed and f.split == seeds.split and f.method not in NETWORKS]
    own = [f for f in masks if not is_plain(f.method)] or masks
    at_own = [g for g in candidates if g.split == seeds.split and g.figures[0].chosen_by != "sweep" and g is not seeds]
    mask = own[-1] if own else None
    plain = None if mask is None else counterpart(mask, masks)
    return Headline(seeds, mask, at_own[0] if at_own else None, plain)


@dataclass(frozen=True)
class ClassRow:
    """One class in the chart of classes: its IoU in each set of masks."""

    name: str
    values: tuple[float | None, ...]
    gain: float | None
    """IoU of the method's seed minus that of plain CAM."""


def class_rows(shown: Sequence[Figure]) -> list[ClassRow]:
    """All classes with a defined IoU in some set of masks, those that gain most first, the background on top.

    Args:
        shown: the sets of masks; the first two are compared where there are two or more.
    """
    rows = []
    for name in shown[0].iou:
        values = tuple(figure.iou.get(name) for figure in shown)
        pair = [value for value in values[:2] if value is not None]
        gain = pair[1] - pair[0] if len(pair) == 2 else None
        if any(value is not None for value in values):
            rows.append(ClassRow(name, values, gain))
    head, rest = rows[:1], rows[1:]
    if head and head[0].name != "background":
        head, rest = [], rows
    # Classes without a gain come last; equal ones keep the order of the data set.
    return head + sorted(rest, key=lambda row: -row.gain if row.gain is not None else 2.0)


def ends(rows: Sequence[ClassRow], count: int) -> tuple[list[ClassRow], int]:
    """At most ``count`` rows from both ends, and how many were left out between them."""
    if len(rows) <= count:
        return list(rows), 0
    first = count - count // 2
    return [*rows[:first], *rows[len(rows) - count // 2 :]], len(rows) - count
