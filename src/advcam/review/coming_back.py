"""Corrected masks from an annotation tool into a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import UInt8

from advcam.data.images import image_size
from advcam.errors import DataError
from advcam.export.item import Corrections
from advcam.export.source import REVIEW, RunView
from advcam.review.table import decide, read_table


@dataclass
class Taken:
    """What came back."""

    masks: list[str] = field(default_factory=list)
    """Images whose mask was corrected."""
    labels: list[str] = field(default_factory=list)
    """Images whose labels were."""
    same: int = 0
    """Masks that came back as they went out."""
    untouched: int = 0
    """Images of which the tool says that nobody annotated them."""
    unknown: list[str] = field(default_factory=list)
    """Names that are no image of the run."""


def take(view: RunView, found: Corrections, *, unchanged: bool = False) -> Taken:
    """Keep the corrections in the run folder; nothing that the run made is touched, and nothing of it replaces them.

    Args:
        view: the run.
        found: what the tool exported.
        unchanged: count masks that came back as they went out as looked at and right.

    Raises:
        DataError: no image is one of the run's, or a mask has another size than its image. Nothing is kept then.
    """
    taken, kept = Taken(), view.corrected
    known = Names.of(view.images)
    ids = {name: known.find(name) for name in {*found, *found.tagged}}
    taken.unknown = sorted(name for name, image_id in ids.items() if image_id is None)
    if ids and len(taken.unknown) == len(ids):
        raise DataError(f"none of the {len(ids)} images is one of the run's (the first: {taken.unknown[0]!r})")
    masks, labels = {}, {}
    for name in sorted(ids):
        image_id = ids[name]
        if image_id is None:
            continue
        if name in found.untouched:
            taken.untouched += 1
            continue
        if name in found:
            mask = found[name]
            size = image_size(view.images[image_id])
            if mask.shape != size:
                found_size = f"{mask.shape[1]} x {mask.shape[0]}"
                raise DataError(
                    f"{name}: its mask has {found_size} pixels and the image {size[1]} x {size[0]}: export it at the "
                    "image's own size"
                )
            before = view.best_mask(image_id)
            if unchanged or before is None or changed(before, mask):
                masks[image_id] = mask
            else:
                taken.same += 1
        tags = found.tagged.get(name, ())
        # A mask shows what is there; labels that no mask shows stay, since the object may be too small to draw.
        if tags and set(tags) != set(view.labels.get(image_id, ())):
            labels[image_id] = [view.class_names[index] for index in tags]
    for image_id, mask in masks.items():
        kept.keep(image_id, np.ascontiguousarray(mask))
    if labels:
        kept.relabel(labels)
    taken.masks, taken.labels = sorted(masks), sorted(labels)
    entries = read_table(view.root / REVIEW)
    listed = {(e.image, e.class_name): "corrected" for e in entries if e.image in masks}
    listed |= {(e.image, e.class_name): "relabelled" for e in entries if e.image in labels and e.image not in masks}
    if listed:
        decide(view.root / REVIEW, listed)
    return taken


def changed(before: UInt8[np.ndarray, "H W"], after: UInt8[np.ndarray, "h w"]) -> bool:
    """Whether a mask that came back differs from the one that went out, in which no tool can show set-aside pixels."""
    return before.shape != after.shape or bool(
        (np.where(before == 255, 0, before) != np.where(after == 255, 0, after)).any()
    )


@dataclass(frozen=True)
class Names:
    """The images of a run by the names that tools give them."""

    ids: frozenset[str]
    by_end: dict[str, str | None]
    """The last part of each id; None where several images share it."""

    @classmethod
    def of(cls, ids: Iterable[str]) -> Names:
        ends: dict[str, str | None] = {}
        for image_id in ids:
            end = PurePosixPath(image_id).name
            ends[end] = None if end in ends else image_id
        return cls(frozenset(ids), ends)

    def find(self, name: str) -> str | None:
        """The image of a name: its id, else the only one whose file is called so.

        >>> Names.of(["cats/1", "cats/2", "dogs/2"]).find("upload/7/1"), Names.of(["a/2", "b/2"]).find("2")
        ('cats/1', None)
        """
        if name in self.ids:
            return name
        return self.by_end.get(PurePosixPath(name).name)
