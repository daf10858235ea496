"""Ground-truth objects: one mask each, as PASCAL VOC's ``SegmentationObject`` has them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

from advcam.data.images import open_image
from advcam.data.masks import IGNORE, read_mask
from advcam.data.record import Record
from advcam.errors import DataError

OBJECTS = "SegmentationObject"


def read_objects(
    record: Record, size: tuple[int, int] | None = None, num_classes: int | None = None
) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, "n H W"]]:
    """The 0-based class and the mask of every object of an image, in the order of their numbers.

    The class is that of the image's mask where the object is. 255, the border of objects, belongs to none.

    Args:
        record: with ``objects`` and a mask.
        size, num_classes: as for ``read_mask``.

    Raises:
        DataError: a file is missing, cannot be read or is of another size, or an object has no class in the mask.
    """
    if record.objects is None:
        raise DataError(f"the image has no ground-truth objects: add {OBJECTS}, or leave it out", record.image)
    labels = read_mask(record, size, num_classes)
    with open_image(record.objects) as image:
        numbers = np.array(image) if len(image.getbands()) == 1 else None
    if numbers is None or numbers.shape != labels.shape:
        raise DataError(
            f"must be an indexed picture of {labels.shape[1]} x {labels.shape[0]} pixels, one number "
            "per object: replace it",
            record.objects,
        )
    classes, masks = [], []
    for number in np.unique(numbers):
        if number in (0, IGNORE):
            continue
        mask = numbers == number
        inside = labels[mask & (labels > 0) & (labels != IGNORE)]
        if not len(inside):
            raise DataError(
                f"object {number} lies where {record.mask} has no class: correct one of them", record.objects
            )
        classes.append(int(np.bincount(inside).argmax()) - 1)
        masks.append(mask)
    return np.asarray(classes, np.int64), np.stack(masks) if masks else np.zeros((0, *labels.shape), bool)
