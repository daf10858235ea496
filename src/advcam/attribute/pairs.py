"""What every attribution method does with its (image, class) pairs: check them, pick a class, mirror."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jaxtyping import Float
from torch import Tensor

from advcam.errors import SettingsError
from advcam.models.mapper import ClassMapper


def check_pairs(mapper: ClassMapper, images: Tensor, classes: Tensor, owners: Sequence[int]) -> None:
    """Raise SettingsError where images and classes do not belong together or a class is not the network's.

    ``owners`` says for every class which of the images it belongs to.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise SettingsError(f"images must have shape n x 3 x H x W, not {tuple(images.shape)}")
    if classes.shape != (len(owners),):
        raise SettingsError(
            f"there must be one class per image: {len(owners)} images, classes of shape {tuple(classes.shape)}"
        )
    if owners and not 0 <= min(owners) <= max(owners) < len(images):
        raise SettingsError(f"owners must be among the {len(images)} images, and are {list(owners)}")
    if classes.numel() and (int(classes.min()) < 0 or int(classes.max()) >= mapper.num_classes):
        raise SettingsError(f"class indices must lie in 0..{mapper.num_classes - 1}, and are {classes.tolist()}")


def image_batches(owners: Sequence[int], size: int) -> Iterator[tuple[list[int], list[int]]]:
    """Images that share passes, at most ``size`` in a batch and all with equally many classes, and their pairs.

    >>> list(image_batches([0, 0, 1, 2, 2, 3], size=2))
    [([1, 3], [2, 5]), ([0, 2], [0, 1, 3, 4])]
    """
    pairs_of: dict[int, list[int]] = {}
    for pair, owner in enumerate(owners):
        pairs_of.setdefault(owner, []).append(pair)
    for count in sorted({len(pairs) for pairs in pairs_of.values()}):
        images = [owner for owner, pairs in pairs_of.items() if len(pairs) == count]
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            yield batch, [pair for owner in batch for pair in pairs_of[owner]]


def mirror(images: Float[Tensor, "... W"]) -> Float[Tensor, "... W"]:
    """Left and right exchanged."""
    return images.flip(-1)
