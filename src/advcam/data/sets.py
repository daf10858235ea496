"""What is surely wrong in the sets of images of a run, and what only looks odd, before anything is trained on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from advcam.data.check import odd_classes, similar_names
from advcam.data.images import image_size
from advcam.data.masks import IGNORE, mask_size, read_mask
from advcam.data.record import ImageSet, Record
from advcam.errors import DataError


def refuse_wrong(
    where: str,
    class_names: Sequence[str],
    sets: Sequence[ImageSet],
    size_of: Callable[[Record], tuple[int, int]] = lambda record: image_size(record.image),
) -> None:
    """Refuse what is surely wrong.

    Of every picture and mask only the header is read, and of masks the first ones, until one shows a class.

    Raises:
        DataError: a picture is none; a mask is of another size than its image; names of classes differ only in case or
            blanks; or the masks of all images with a class hold only 0 and 255.
    """
    for record in {record.image: record for images in sets for record in images.records}.values():
        size = size_of(record)
        if isinstance(record.mask, Path) and mask_size(record.mask) != size:
            # Says what is wrong.
            read_mask(record, size)
    for wrong in similar_names(where, class_names):
        raise DataError(wrong.message, wrong.file)
    if only_ignored(sets):
        raise DataError(
            f"no mask holds anything but 0 and {IGNORE}, which means ignore: write the number of the class (1, 2, ...)",
            where,
        )


def notices_of(where: str, class_names: Sequence[str], sets: Sequence[ImageSet]) -> Iterable[object]:
    """What is not used or looks odd, each once."""
    images = {record.image: record for found in sets for record in found.records}
    counts = Counter(index for record in images.values() for index in record.classes)
    odd = odd_classes(where, class_names, counts, len(images))
    return dict.fromkeys((*(notice for found in sets for notice in found.notices), *odd))


def only_ignored(sets: Sequence[ImageSet]) -> bool:
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
