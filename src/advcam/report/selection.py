"""Which images the gallery shows: flagged ones first, then a spread over the classes. The same run, the same choice."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import zip_longest


def choose_images(images: Mapping[str, Sequence[int]], flagged: Sequence[str], count: int) -> list[str]:
    """Ids of at most ``count`` images.

    Flagged images come first, in the order given. They take a quarter of the places while there are others, so that
    the gallery shows what works as well. The others are taken class by class in turn.

    Args:
        images: classes of every image that can be shown.
        flagged: ids of images with a warning, the worst first.
        count: places in the gallery.

    >>> choose_images({"a": [0], "b": [0], "c": [1], "d": [1]}, ["d"], 3)[0]
    'd'
    """
    warned = [image_id for image_id in dict.fromkeys(flagged) if image_id in images]
    others = spread({image_id: classes for image_id, classes in images.items() if image_id not in set(warned)})
    kept = warned[: max(count - len(others), -(-count // 4))][:count]
    return kept + others[: count - len(kept)]


def spread(images: Mapping[str, Sequence[int]]) -> list[str]:
    """All ids, class after class in turn; within a class in an order that has nothing to do with their names."""
    by_class: dict[int, list[str]] = {}
    # Images without a class are shown last.
    for image_id in sorted(images, key=lambda image_id: hashlib.sha256(image_id.encode(errors="replace")).digest()):
        for index in images[image_id] or (-1,):
            by_class.setdefault(index, []).append(image_id)
    without = by_class.pop(-1, [])
    columns = [by_class[index] for index in sorted(by_class)]
    turns = [image_id for turn in zip_longest(*columns) for image_id in turn if image_id is not None]
    return list(dict.fromkeys([*turns, *without]))
