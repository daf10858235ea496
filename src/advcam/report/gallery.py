"""A card of the gallery: the image, the heat maps of its classes, its mask, and the ground truth where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8

from advcam.report.overlays import IGNORE, draw_outlines, heat_overlay, mask_overlay
from advcam.report.pictures import Picture, picture

# Longer side of a picture in the page, in pixels.
LONG_SIDE = 320
# Heat maps of more classes of one image would fill the file: they are counted, not drawn.
MAX_CLASSES = 4
COLOURS = 256
MASK, TRUTH, SALIENCY, EDGES = "mask", "ground truth", "saliency", "edges"


@dataclass(frozen=True)
class Subject:
    """What a card shows, all at one reduced size."""

    name: str
    """Id of the image."""
    split: str
    image: UInt8[np.ndarray, "h w 3"]
    classes: tuple[int, ...]
    """0-based, in the order of the maps."""
    probabilities: tuple[float, ...]
    maps: dict[str, Float[np.ndarray, "k h w"]]
    """By the name of the method, in the order in which they are shown: "CAM", "AdvCAM"."""
    steps: Mapping[str, UInt8[np.ndarray, "h w"]] = field(default_factory=dict)
    """Masks of the stages before the last one, by caption."""
    edges: UInt8[np.ndarray, "h w"] | None = None
    """Where IRN sees edges, 255 certainly."""
    mask: UInt8[np.ndarray, "h w"] | None = None
    truth: UInt8[np.ndarray, "h w"] | None = None
    saliency: UInt8[np.ndarray, "h w"] | None = None
    """The salient-object map, 255 most salient."""
    warnings: tuple[str, ...] = ()
    """Why the image is flagged."""
    flagged_classes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Tab:
    """One class of a card and its heat maps."""

    class_name: str
    colour: str
    probability: float
    heats: tuple[Picture, ...]


@dataclass(frozen=True)
class Card:
    """One image of the gallery."""

    name: str
    split: str
    image: Picture
    tabs: tuple[Tab, ...]
    more_classes: tuple[str, ...]
    """Names of classes without a tab."""
    masks: tuple[Picture, ...]
    """The saliency map, seed, masks of the stages, edges, the mask and the ground truth, as far as there are."""
    warnings: tuple[str, ...]
    hatched: bool = False
    """Some mask of it leaves pixels open."""

    @property
    def has_truth(self) -> bool:
        return any(mask.caption == TRUTH for mask in self.masks)

    @property
    def columns(self) -> int:
        """Pictures that are seen at a time."""
        return 1 + max((len(tab.heats) for tab in self.tabs), default=0) + len(self.masks)

    @property
    def row(self) -> int:
        """Pictures side by side: more than six take two rows."""
        return self.columns if self.columns <= 6 else -(-self.columns // 2)


def draw_card(subject: Subject, class_names: tuple[str, ...], palette: UInt8[np.ndarray, "256 3"]) -> Card:
    """The card of one image; classes that are flagged come first among its tabs.

    Where there is ground truth, a thin line on the heat maps shows the border of the class.
    """
    order = sorted(range(len(subject.classes)), key=lambda index: subject.classes[index] not in subject.flagged_classes)
    shown, more = order[:MAX_CLASSES], order[MAX_CLASSES:]
    masks = []
    greys = {SALIENCY: subject.saliency, EDGES: subject.edges}
    labelled = {**subject.steps, MASK: subject.mask, TRUTH: subject.truth}
    for caption in (SALIENCY, *subject.steps, EDGES, MASK, TRUTH):
        values = greys.get(caption, labelled.get(caption))
        if values is None:
            continue
        if caption in greys:
            drawn = np.repeat(values[..., None], 3, axis=2)
        else:
            hatched = caption != TRUTH
            drawn = mask_overlay(subject.image, values, palette, outline_width=1, hatch_ignored=hatched)
        masks.append(picture(caption, f"{caption} of {subject.name}", drawn))
    return Card(
        name=subject.name,
        split=subject.split,
        image=picture("image", subject.name, subject.image),
        tabs=tuple(draw_tab(subject, index, class_names, palette) for index in shown),
        more_classes=tuple(class_names[subject.classes[index]] for index in more),
        masks=tuple(masks),
        warnings=subject.warnings,
        hatched=any(
            (values == IGNORE).any() for name, values in labelled.items() if name != TRUTH and values is not None
        ),
    )


def draw_tab(subject: Subject, index: int, class_names: tuple[str, ...], palette: UInt8[np.ndarray, "256 3"]) -> Tab:
    """The heat maps of one class of a subject, the first, second, ... of its own classes."""
    label = subject.classes[index]
    heats = []
    for method, maps in subject.maps.items():
        drawn = heat_overlay(subject.image, maps[index])
        if subject.truth is not None and label + 1 < COLOURS - 1:
            drawn = draw_outlines(drawn, (subject.truth == label + 1).astype(np.uint8), width=1)
        heats.append(picture(method, f"{method} of {class_names[label]} in {subject.name}", drawn))
    return Tab(class_names[label], class_colour(label, palette), subject.probabilities[index], tuple(heats))


def class_colour(index: int, palette: UInt8[np.ndarray, "256 3"]) -> str:
    """The colour of a 0-based class in masks, for style sheets; grey where masks have no value for it.

    >>> from advcam.data.masks import voc_palette
    >>> class_colour(0, voc_palette()), class_colour(999, voc_palette())
    ('#800000', '#808080')
    """
    if index + 1 >= COLOURS - 1:
        return "#808080"
    return "#" + "".join(f"{channel:02x}" for channel in palette[index + 1].tolist())
