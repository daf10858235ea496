"""Images with and without masks for CCT: chosen, and refused where nothing can be learnt from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int64

from advcam.data.record import ImageSet, Problem
from advcam.errors import DataError, shortened
from advcam.segment.data import MaskedImages, check_masks


@dataclass(frozen=True)
class SemiSupervised:
    """What CCT is trained on.

    Attributes:
        labelled: images whose own masks are used.
        others: images without masks, or with pseudo masks as their ``mask``.
        weak: whether these have pseudo masks.
        pixels: of each label over all pseudo masks, the background first; empty without them.
        left_out: images that cannot be used, with the reason.
    """

    labelled: MaskedImages
    others: ImageSet
    weak: bool
    pixels: tuple[int, ...] = ()
    left_out: tuple[Problem, ...] = ()


def semi_supervised(
    candidates: MaskedImages,
    images: ImageSet,
    count: int | None,
    pseudo_masks: ImageSet | None = None,
    *,
    skip_bad: bool = False,
) -> SemiSupervised:
    """Choose the images with masks; all others of both sets are those without.

    Args:
        candidates: images with ground truth, in the order of their list.
        images: all images that may be trained on.
        count: how many of the candidates keep their masks; None for all.
        pseudo_masks: images with pseudo masks; None where they are not wanted. Images whose pseudo mask is 255
            everywhere are left out.
        skip_bad: leave out images without a pseudo mask or with one that cannot be used, and train although the
            masks show some class nowhere, instead of raising.
    """
    labelled = choose(candidates, count)
    if labelled.untrained and not skip_bad:
        listed = shortened(labelled.untrained, most=3)
        raise DataError(
            f"the masks of the {len(labelled.images)} images with masks have no pixel of {listed}, so it would never "
            f"be predicted: raise cct.labelled, take it out of the list of classes, or give skip_bad to train "
            f"without it"
        )
    taken = {record.id for record in labelled.images.records}
    everything = merged(candidates.images, images)
    rest = replace(everything, records=tuple(record for record in everything.records if record.id not in taken))
    if not len(rest):
        raise DataError(
            f"all {len(taken)} images have masks, so there is none without for CCT to learn from: lower cct.labelled, "
            f"name more images with segment.train, or train segment.method deeplab"
        )
    if pseudo_masks is None:
        return SemiSupervised(labelled, rest, weak=False)
    checked = check_masks(_with_pseudo_masks(rest, pseudo_masks, skip_bad), skip_bad=skip_bad)
    return SemiSupervised(labelled, checked.images, weak=True, pixels=checked.pixels, left_out=checked.left_out)


def choose(candidates: MaskedImages, count: int | None) -> MaskedImages:
    """``count`` images in which all classes have the same part, see ``balanced_choice``; all of them for None."""
    if count is None:
        return candidates
    chosen = list(balanced_choice([main_label(row) for row in candidates.counts], count))
    records = tuple(candidates.images.records[position] for position in chosen)
    return MaskedImages(replace(candidates.images, records=records), candidates.counts[chosen], candidates.left_out)


def merged(first: ImageSet, second: ImageSet) -> ImageSet:
    """The images of both sets, each once, those of the first before the rest of the second."""
    records = {record.id: record for images in (second, first) for record in images.records}
    order = dict.fromkeys(record.id for images in (first, second) for record in images.records)
    return replace(first, records=tuple(records[image_id] for image_id in order))


def _with_pseudo_masks(rest: ImageSet, pseudo_masks: ImageSet, skip_bad: bool) -> ImageSet:
    masks = {record.id: record.mask for record in pseudo_masks.records}
    missing = [record.id for record in rest.records if masks.get(record.id) is None]
    if missing and (not skip_bad or len(missing) == len(rest)):
        raise DataError(
            f"{len(missing)} of {len(rest)} images without masks have no pseudo mask either, such as {missing[0]}: "
            f"make them with `advcam attribute` and `advcam refine` (splits.maps), set cct.weak to false, or give "
            f"skip_bad to leave these images out"
        )
    found = tuple(replace(record, mask=masks[record.id]) for record in rest.records if record.id not in set(missing))
    return replace(rest, records=found)


def balanced_choice(main_labels: Sequence[int], count: int) -> tuple[int, ...]:
    """The positions of ``count`` images in which all classes have the same part, as far as there are enough.

    Each image belongs to the class that covers most of it. The first image of each class is taken, then the second of
    each, and so on until there are enough; within a round in the order of the list. A choice of fewer images is part
    of one of more.

    The lists of the CCT program are not said how they were made; this rule gives them: of PASCAL VOC's ``train`` the
    list of 60 images exactly, the lists of 100 and 200 as far as they were compared.

    Args:
        main_labels: the class of each image, in the order of the list.

    >>> balanced_choice([5, 5, 5, 7, 5, 7], 4)
    (0, 1, 3, 5)
    """
    if count > len(main_labels):
        raise DataError(
            f"cct.labelled asks for {count} images with masks, but there are only {len(main_labels)}: ask for at most "
            f"{len(main_labels)}"
        )
    seen: dict[int, int] = {}
    ranks = []
    for label in main_labels:
        ranks.append(seen.get(label, 0))
        seen[label] = ranks[-1] + 1
    order = sorted(range(len(ranks)), key=lambda position: (ranks[position], position))
    return tuple(sorted(order[:count]))


def main_label(pixels: Int64[np.ndarray, " K"]) -> int:
    """The class that covers most of an image, from the number of its pixels of each label; 0 for background alone.

    >>> main_label(np.array([900, 20, 30]))
    2
    """
    return int(pixels[1:].argmax()) + 1 if pixels[1:].any() else 0
