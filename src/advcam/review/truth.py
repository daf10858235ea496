"""Corrections as truth: in place of the labels and the masks that a data set or a run has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from advcam.data.record import ImageSet, Record
from advcam.export.corrected import Corrected
from advcam.export.source import REVIEW
from advcam.review.table import read_table


def with_corrections(images: ImageSet, run: Path) -> ImageSet:
    """The images with corrected masks as their ground truth, and with corrected labels."""
    kept = Corrected(run)
    if not kept.folder.is_dir():
        return images
    labels, index = kept.labels(), {name: number for number, name in enumerate(images.class_names)}

    def corrected(record: Record) -> Record:
        if record.id in labels:
            record = replace(record, classes=tuple(sorted(index[n] for n in labels[record.id] if n in index)))
        return replace(record, mask=kept.mask(record.id)) if kept.has(record.id) else record

    return replace(images, records=tuple(map(corrected, images.records)))


def to_learn_from(masked: ImageSet, images: Iterable[Record], run: Path) -> ImageSet:
    """What a network learns from: of images with a corrected mask that one, of rejected ones nothing.

    Args:
        masked: images with the masks that the run made.
        images: all images of the training.
        run: the run folder.
    """
    kept = Corrected(run)
    if not kept.folder.is_dir() and not (run / REVIEW).is_file():
        return masked
    without = set(rejected(run))
    own = {record.id: record for record in masked.records if record.id not in without}
    own |= {record.id: replace(record, mask=kept.mask(record.id)) for record in images if kept.has(record.id)}
    return replace(masked, records=tuple(own[image_id] for image_id in sorted(own)))


def corrected_files(images: Iterable[Record], run: Path) -> dict[str, Path]:
    """The corrected masks of some images, by id: what a result made with them depends on."""
    kept = Corrected(run)
    return {record.id: kept.mask(record.id) for record in images if kept.has(record.id)}


def rejected(run: Path) -> list[str]:
    """The images whose masks a person has rejected."""
    return sorted({entry.image for entry in read_table(run / REVIEW) if entry.decision == "rejected"})
