"""The images that CCT is trained on in a run."""

from __future__ import annotations

from advcam.data import splits
from advcam.data.record import ImageSet
from advcam.errors import DataError
from advcam.pipeline.mask_sources import where_from, with_named_masks
from advcam.pipeline.progress import say
from advcam.pipeline.run import Run
from advcam.segment.cct.data import SemiSupervised, merged, semi_supervised
from advcam.segment.data import check_masks

LABELLED_LIST = "train"


def semi_supervised_images(run: Run, images: ImageSet) -> SemiSupervised:
    """Images with masks as ``cct`` asks for them, and all others of the training split and of theirs without.

    Args:
        run: with its settings.
        images: the training split.

    Raises:
        DataError: as ``semi_supervised``, and where no image has a true mask.
        RunError: the run's own masks are wanted, and not made yet.
    """
    settings, skip_bad = run.config.cct, run.config.skip_bad or run.config.limit is not None
    candidates = labelled_split(run, images)
    if all(record.mask is None for record in candidates.records):
        raise DataError(
            f"{candidates.root}: none of the {len(candidates)} images of {candidates.split or 'the data set'} has a "
            f"ground-truth mask, and CCT needs some: name a list that has with cct.labelled_split, or train "
            f"segment.method deeplab on the pseudo masks alone"
        )
    checked = check_masks(candidates, skip_bad=skip_bad)
    pseudo_masks = with_named_masks(run, merged(candidates, images)) if settings.weak else None
    data = semi_supervised(checked, images, settings.labelled, pseudo_masks, skip_bad=skip_bad)
    left_out = (*checked.left_out, *data.left_out)
    run.leave_out("segment", [str(problem) for problem in left_out])
    weak = f"pseudo masks ({where_from(run)})" if data.weak else "no masks"
    say(f"segment: {len(data.labelled.images)} images with masks, {len(data.others)} with {weak}")
    if left_out:
        say(f"segment: {len(left_out)} images are left out (first: {left_out[0]})")
    if data.labelled.untrained:
        say(f"segment: no mask has a pixel of {', '.join(data.labelled.untrained)}")
    return data


def labelled_split(run: Run, images: ImageSet) -> ImageSet:
    """The images whose true masks may be used."""
    asked = run.config.cct.labelled_split
    if asked is None and run.config.data is not None:
        asked = LABELLED_LIST if LABELLED_LIST in splits(run.config.data, labels=run.config.labels) else None
    return images if asked is None else run.limited(run.image_set(asked))
