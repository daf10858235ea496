"""Images with and without masks for CCT: chosen, and refused where nothing can be learnt from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int64

from advcam.data.masks import read_mask
from advcam.data.record import ImageSet, Record
from advcam.errors import DataError
from advcam.segment.cct.splits import balanced_choice, main_label


@dataclass(frozen=True)
class SemiSupervised:
    """What CCT is trained on.

    Attributes:
        class_names: without the background.
        labelled: images whose own masks are used.
        others: images without masks, or with pseudo masks as their ``mask``.
        weak: whether these have pseudo masks.
    """

    class_names: tuple[str, ...]
    labelled: tuple[Record, ...]
    others: tuple[Record, ...]
    weak: bool


def semi_supervised(
    candidates: ImageSet,
    pixels: Int64[np.ndarray, "n K"],
    images: ImageSet,
    count: int | None,
    pseudo_masks: ImageSet | None,
) -> SemiSupervised:
    """Choose the images with masks; all others of both sets are those without.

    Args:
        candidates: images with ground truth, in the order of their list.
        pixels: of each label in each of their masks, the background first.
        images: all images that may be trained on.
        count: how many of the candidates keep their masks; None for all.
        pseudo_masks: images with pseudo masks; None where they are not wanted.

    Raises:
        DataError: fewer candidates than ``count``; a class without a pixel in the chosen masks; no image without a
            mask; or one of them without a pseudo mask.
    """
    chosen = balanced_choice([main_label(row) for row in pixels], len(candidates) if count is None else count)
    labelled = tuple(candidates.records[position] for position in chosen)
    _check_classes(pixels[list(chosen)].sum(axis=0), candidates.class_names, len(labelled))
    taken = {record.id for record in labelled}
    rest = {record.id: record for record in (*candidates.records, *images.records) if record.id not in taken}
    if not rest:
        raise DataError(
            f"all {len(labelled)} images have masks, so there is none without for CCT to learn from: lower "
            f"cct.labelled, name more images with segment.train, or train segment.method deeplab"
        )
    if pseudo_masks is not None:
        rest = _with_pseudo_masks(rest, pseudo_masks)
    return SemiSupervised(candidates.class_names, labelled, tuple(rest.values()), pseudo_masks is not None)


def count_pixels(records: Sequence[Record], num_classes: int) -> Int64[np.ndarray, "n K"]:
    """Pixels of each label, the background first, in each image's mask.

    Raises:
        DataError: a mask that is not there, cannot be read, or does not fit its image or the classes.
    """
    counts = [np.bincount(read_mask(one, None, num_classes).ravel(), minlength=256) for one in records]
    return np.stack(counts)[:, : num_classes + 1].astype(np.int64) if counts else np.zeros((0, num_classes + 1), int)


def _check_classes(pixels: Int64[np.ndarray, " K"], class_names: tuple[str, ...], images: int) -> None:
    absent = [name for name, count in zip(("background", *class_names), pixels, strict=True) if count == 0]
    if absent:
        listed = ", ".join(absent[:3]) + (f" and {len(absent) - 3} more" if len(absent) > 3 else "")
        raise DataError(
            f"the masks of the {images} images with masks hold no pixel of {listed}, so it would never be predicted: "
            f"raise cct.labelled, or take the class out of the list of classes"
        )


def _with_pseudo_masks(rest: dict[str, Record], pseudo_masks: ImageSet) -> dict[str, Record]:
    masks = {record.id: record.mask for record in pseudo_masks.records}
    missing = [image_id for image_id in rest if masks.get(image_id) is None]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(rest)} images without masks have no pseudo mask either, such as {missing[0]}: make "
            f"them with `advcam attribute` and `advcam refine` (splits.maps), or set cct.weak to false"
        )
    return {image_id: replace(record, mask=masks[image_id]) for image_id, record in rest.items()}
