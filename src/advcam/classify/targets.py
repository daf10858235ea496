"""The labels of a training: as targets, counted, and refused where nothing can be learnt from them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from advcam.classify.settings import ClassifySettings
from advcam.data.record import ImageSet
from advcam.errors import DataError, SettingsError


def targets_of(classes: Sequence[int], num_classes: int) -> Float[Tensor, " K"]:
    """1 for each class of an image, 0 for the others.

    >>> targets_of((0, 2), 3)
    tensor([1., 0., 1.])
    """
    targets = torch.zeros(num_classes)
    targets[list(classes)] = 1
    return targets


def check_labels(train: ImageSet, val: ImageSet | None, settings: ClassifySettings) -> None:
    """Refuse labels from which nothing can be learnt; before anything is trained."""
    if not train.records or not any(record.classes for record in train.records):
        raise DataError(f"none of the {len(train)} training images has a class: check the label file", train.root)
    if len(train) < settings.batch_size:
        raise SettingsError(
            f"classify.batch_size is {settings.batch_size}, but {train.root} has only {len(train)} training images: "
            f"set it to at most {len(train)}"
        )
    if val is not None and val.class_names != train.class_names:
        raise DataError(
            f"the validation images have the classes {', '.join(val.class_names)}, "
            f"but the training images have {', '.join(train.class_names)}: give both the same list of classes",
            val.root,
        )
    if settings.loss == "softmax":
        for record in (*train.records, *(val.records if val is not None else ())):
            if len(record.classes) != 1:
                raise DataError(
                    f"the image has {len(record.classes)} classes, but the loss softmax needs exactly one "
                    "in every image: choose the loss multilabel_soft_margin",
                    record.id,
                )


def untrained_classes(train: ImageSet) -> tuple[str, ...]:
    """The classes that no training image has."""
    seen = {index for record in train.records for index in record.classes}
    return tuple(name for index, name in enumerate(train.class_names) if index not in seen)


def prevalence(image_set: ImageSet) -> dict[str, float]:
    """For each class the fraction of the images that have it: the average precision of a random ranking."""
    counts = [
        sum(index in record.classes for record in image_set.records) for index in range(len(image_set.class_names))
    ]
    return {name: count / len(image_set) for name, count in zip(image_set.class_names, counts, strict=True)}
