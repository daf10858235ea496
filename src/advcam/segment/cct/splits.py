"""Which images of a list keep their masks: the rule of the CCT program's lists, for any number and any data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from advcam.errors import DataError


def balanced_choice(main_labels: Sequence[int], count: int) -> tuple[int, ...]:
    """The positions of ``count`` images in which all classes have the same part, as far as there are enough.

    Each image belongs to the class that covers most of it. The first image of each class is taken, then the second of
    each, and so on until there are enough; within a round in the order of the list. A choice of fewer images is part
    of one of more.

    The lists of the CCT program are not said how they were made; this rule gives them: of PASCAL VOC's ``train`` the
    list of 60 images exactly, the lists of 100 and 200 as far as they were compared.

    Args:
        main_labels: the class of each image, in the order of the list.
        count: how many are wanted.

    Raises:
        DataError: there are fewer.

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
