"""Images with and without masks for CCT: chosen, and refused where nothing can be learnt from them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from advcam.data.record import ImageSet, Problem
from advcam.errors import DataError, shortened
from advcam.segment.cct.splits import balanced_choice, main_label
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

    Raises:
        DataError: fewer candidates than ``count``; no image without a mask; and without ``skip_bad`` a class that no
            chosen mask has a pixel of, an image without a pseudo mask, or a pseudo mask that cannot be used.
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
    """``count`` images in which all classes have the same part, see ``balanced_choice``; all of them for None.

    Raises:
        DataError: there are fewer.
    """
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
