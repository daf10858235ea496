"""What a stage would stumble over after hours of the stages before it, found before the first begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from advcam.data.masks import IGNORE, read_mask
from advcam.data.plausible import similar_names
from advcam.data.record import ImageSet
from advcam.errors import DataError, SettingsError
from advcam.models.weights import is_weight_file
from advcam.pipeline.config import RunConfig
from advcam.pipeline.run import Run
from advcam.saliency.opencv import CLASSES, OpenCVDetector

# No library brings weights of these.
WITHOUT_LIBRARY_WEIGHTS = ("caffe_resnet101", "res2net152_v1b", "resnet38")
# A mask is one byte for each pixel: background, the classes, and 255.
MOST_CLASSES = 254


def check_weights(name: str, architecture: str | None, weights: str | None) -> None:
    """Refuse weights that are nowhere; ``architecture`` is None for a file of a whole network."""
    if weights == "default" and architecture in WITHOUT_LIBRARY_WEIGHTS:
        raise SettingsError(
            f"{name} is default, but no library has weights of {architecture}: name a file with --{name}, or take "
            f"another architecture"
        )
    if weights is not None and is_weight_file(weights) and not Path(weights).exists():
        raise SettingsError(f"{name} is {weights}, but there is no such file: correct it, or put the file there")


def check_saliency(config: RunConfig) -> None:
    """The source is there, with its weights and its package."""
    saliency = config.saliency
    check_weights("saliency.weights", None, saliency.weights)
    if saliency.source == "folder" and not Path(saliency.folder or "").is_dir():
        raise SettingsError(f"saliency.folder is {saliency.folder}, but there is no such folder: correct it")
    if saliency.source in CLASSES:
        # Says which package is missing.
        OpenCVDetector(saliency.source)


def check_refine(config: RunConfig) -> None:
    """The network of the method is there."""
    if config.refine.method == "irn":
        check_weights("irn.weights", None, config.irn.weights)
    if config.refine.method == "psa":
        if config.psa.trained is not None:
            check_weights("psa.trained", None, config.psa.trained)
        elif config.psa.architecture is not None:
            check_weights("psa.weights", config.psa.architecture, config.psa.weights)


def check_sets(run: Run) -> None:
    """Refuse what is surely wrong in the data; what only looks odd is the doctor's to tell.

    No picture is opened, and of the masks only the first ones, until one shows a class.

    Raises:
        DataError: names of classes differ only in case or blanks; or the masks of all images with a class hold only 0
            and 255.
    """
    where = str(run.config.data)
    names = dict.fromkeys((run.splits.train, *run.splits.maps, run.splits.val))
    sets = [run.image_set(name) for name in names if name is not None or run.splits.train is None]
    for wrong in similar_names(where, run.class_names):
        raise DataError(wrong.message, wrong.file)
    if _only_ignored(sets):
        raise DataError(
            f"no mask holds anything but 0 and {IGNORE}, which means ignore: write the number of the class (1, 2, ...)",
            where,
        )


def _only_ignored(sets: Sequence[ImageSet]) -> bool:
    """Whether there are masks of images with a class, and they hold 0 and 255 only, as black and white pictures do."""
    ignored = False
    for record in (record for images in sets for record in images.records):
        if record.classes and isinstance(record.mask, Path):
            try:
                mask = read_mask(record)
            except DataError:
                # Told by the stage that needs it.
                return False
            if np.any((mask != 0) & (mask != IGNORE)):
                return False
            ignored |= bool(np.any(mask == IGNORE))
    return ignored


def check_class_count(run: Run) -> None:
    """The classes fit into a mask."""
    if len(run.class_names) > MOST_CLASSES:
        raise DataError(
            f"{run.config.data} has {len(run.class_names)} classes, and a mask holds at most {MOST_CLASSES}: take "
            "fewer of them, or make boxes with --wsol.method"
        )


def check_instances(config: RunConfig) -> None:
    """IRN's edges will be there."""
    if config.instances.method == "irn" and config.refine.method != "irn":
        raise SettingsError("instances.method irn needs IRN's edges: take refine.method irn as well, or leave it out")


def check_segment(config: RunConfig) -> None:
    """There will be masks, and the network's weights are there."""
    if config.segment.method == "none":
        return
    if config.wsol.method != "none":
        raise SettingsError(
            "a run with wsol.method makes boxes, and no masks for segment.method to learn from: leave one of them out"
        )
    if config.segment.method == "deeplab" and config.segment.weights != "classifier":
        check_weights("segment.weights", config.segment.architecture, config.segment.weights)
    if config.segment.method == "cct":
        check_weights("cct.weights", config.cct.architecture, config.cct.weights)


def check_segment_data(run: Run) -> None:
    """The masks that are to be learnt from, or measured on, can be used, where they are there already."""
    from advcam.pipeline import segment
    from advcam.segment.data import check_masks

    config = run.config
    if config.segment.method == "none":
        return
    sets = segment.splits_of(run)
    for images in sets.scored.values():
        check_masks(images, skip_bad=config.skip_bad)
    if config.segment.method == "cct":
        candidates = segment.labelled_split(run, sets.train)
        if all(record.mask is None for record in candidates.records):
            raise DataError(
                f"{candidates.root}: none of the {len(candidates)} images of {candidates.split or 'the data set'} has "
                "a ground-truth mask, and CCT needs some: name a list that has with cct.labelled_split, or train "
                "segment.method deeplab on the pseudo masks alone"
            )
    elif config.segment.masks != segment.RUN_MASKS:
        check_masks(segment.with_named_masks(run, sets.train), skip_bad=config.skip_bad)
