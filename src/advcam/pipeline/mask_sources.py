"""Which masks a segmentation network learns from: the run's own, the data set's, or those of another folder."""

from __future__ import annotations

from advcam.data.record import ImageSet
from advcam.errors import RunError
from advcam.pipeline.run import Run
from advcam.segment.data import with_masks

RUN_MASKS, TRUTH = "run", "truth"


def with_named_masks(run: Run, images: ImageSet) -> ImageSet:
    """The images that have a mask where ``segment.masks`` looks for them, with that mask.

    Raises:
        RunError: the run's own masks are asked for, and not made yet.
        DataError: there is no such folder, or none of the images has a mask in it.
    """
    asked = run.config.segment.masks
    if asked == TRUTH:
        return images
    if asked != RUN_MASKS:
        return with_masks(images, asked)
    if run.manifest.stages.get("refine", {}).get("status") != "done":
        raise RunError(f"{run.folder.root} has no whole set of masks yet: run `advcam refine` with the same --out")
    return with_masks(images, run.folder.root / "masks")


def where_from(run: Run) -> str:
    """The masks in words, as the manifest and the training keep them."""
    asked = run.config.segment.masks
    if asked == RUN_MASKS:
        return "the run's own masks"
    return "ground truth" if asked == TRUTH else f"masks of {asked}"
