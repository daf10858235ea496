"""What every attribution method does with its (image, class) pairs: check them, pick a class, mirror."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from advcam.errors import SettingsError
from advcam.models.mapper import ClassMapper


def check_pairs(mapper: ClassMapper, images: Tensor, classes: Tensor) -> None:
    """Raise SettingsError where images and classes do not belong together or a class is not the network's."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise SettingsError(f"images must have shape n x 3 x H x W, not {tuple(images.shape)}")
    if classes.shape != images.shape[:1]:
        raise SettingsError(
            f"there must be one class per image: {images.shape[0]} images, classes of shape {tuple(classes.shape)}"
        )
    if classes.numel() and (int(classes.min()) < 0 or int(classes.max()) >= mapper.num_classes):
        raise SettingsError(f"class indices must lie in 0..{mapper.num_classes - 1}, and are {classes.tolist()}")


def of_class(maps_NKhw: Float[Tensor, "n K h w"], classes: Int[Tensor, " n"]) -> Float[Tensor, "n h w"]:
    """Each item's map of its own class."""
    return maps_NKhw[torch.arange(len(classes), device=maps_NKhw.device), classes]


def mirror(images: Float[Tensor, "... W"]) -> Float[Tensor, "... W"]:
    """Left and right exchanged."""
    return images.flip(-1)
