"""The queue of a run: the doubt of every class of every image, from its maps and masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import UInt8

from advcam.attribute.result import LocalizationMaps
from advcam.data.masks import resized_labels
from advcam.errors import RunError
from advcam.export.source import RunView
from advcam.refine.seeds import seed_labels
from advcam.review.doubt import THRESHOLD_STEP, disagreement, odd_sizes, ranks, stray, telling, together
from advcam.review.table import Entry

# Where the run's threshold is not known.
USUAL_THRESHOLD = 0.4
# A class without a label is named where the classifier gives it at least so much.
SEEN = 0.8


@dataclass
class Pairs:
    """The pairs of an image and a class of a run, and each reason as a column."""

    images: list[str] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)
    columns: dict[str, list[float]] = field(default_factory=dict)

    def add(self, image_id: str, class_index: int, values: Mapping[str, float]) -> None:
        self.images.append(image_id)
        self.classes.append(class_index)
        for reason, value in values.items():
            self.columns.setdefault(reason, []).append(value)

    def reasons(self) -> dict[str, np.ndarray]:
        """Each reason as numbers in [0, 1]."""
        found = {name: np.asarray(values) for name, values in self.columns.items() if name != "share"}
        share = np.asarray(self.columns["share"])
        return found | {"area": odd_sizes(share, np.asarray(self.classes)), "small": 1 - share}


def pairs_of(view: RunView) -> Pairs:
    """All pairs with maps and a mask, and what is known of them.

    Raises:
        RunError: there are none.
    """
    found = Pairs()
    for image_id in view.with_masks():
        maps, mask = view.maps(image_id), view.mask(image_id)
        if maps is None or mask is None:
            continue
        level = USUAL_THRESHOLD if view.threshold is None else view.threshold
        lower, own, higher = (seeds(maps, value) for value in (level - THRESHOLD_STEP, level, level + THRESHOLD_STEP))
        plain = None if view.baseline is None else view.maps(image_id, view.baseline)
        other = None if plain is None else view.mask(image_id, view.baseline)
        first, second = (mask, other) if other is not None else (own, None if plain is None else seeds(plain, level))
        on_grid = resized_labels(mask, own.shape)
        for index, score, map_ in zip(maps.classes.tolist(), maps.scores.tolist(), maps.maps, strict=True):
            values = {
                "unsure": 1 - score,
                "unstable": disagreement(lower, higher, index),
                "refined": disagreement(own, on_grid, index),
                "stray": stray(map_.astype(np.float64), on_grid == index + 1),
            }
            if second is not None:
                values["disagree"] = disagreement(first, second, index)
            found.add(image_id, index, values | {"share": float((mask == index + 1).mean())})
    if not found.images:
        raise RunError(f"{view.root} has no masks with their maps: run `advcam refine` with the same --out first")
    return found


def seeds(maps: LocalizationMaps, threshold: float) -> UInt8[np.ndarray, "h4 w4"]:
    """The seed of an image at a threshold, on the grid that maps are kept on."""
    values = torch.from_numpy(maps.maps).float()
    return seed_labels(values, torch.from_numpy(maps.classes), max(threshold, 0.0)).numpy()


def queue(view: RunView, seen: Callable[[str], Mapping[int, float]] | None = None) -> list[Entry]:
    """The queue, in no order.

    Args:
        view: the run.
        seen: the classifier's probabilities of all classes for an image; with it, classes that it sees and the labels
            lack come into the queue too, each with its probability as the doubt.
    """
    pairs = pairs_of(view)
    reasons = pairs.reasons()
    doubt = together(reasons)
    placed = {name: ranks(values) for name, values in reasons.items()}
    entries = []
    for row, (image_id, index) in enumerate(zip(pairs.images, pairs.classes, strict=True)):
        said = telling({name: float(values[row]) for name, values in placed.items()})
        why = tuple(f"{name} {reasons[name][row]:.2f}" for name in said)
        entries.append(Entry(image_id, view.class_names[index], float(doubt[row]), why))
    if seen is not None:
        for image_id in dict.fromkeys(pairs.images):
            for index, value in seen(image_id).items():
                if index not in view.labels.get(image_id, ()) and value >= SEEN:
                    entries.append(Entry(image_id, view.class_names[index], value, (f"unlabelled {value:.2f}",)))
    return entries
