"""What every map does with its (image, class) pairs: check them, mirror, add the views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from advcam.errors import SettingsError


def as_classes(classes: Tensor | np.ndarray | Sequence[int], device: torch.device) -> Int[Tensor, " n"]:
    """Class indices as the loop wants them: a list or integers of any type, unsigned ones too.

    >>> as_classes([3, 1], torch.device("cpu")).dtype
    torch.int64
    """
    try:
        found = torch.as_tensor(classes.copy() if isinstance(classes, np.ndarray) else classes, device=device)
    except (TypeError, ValueError, RuntimeError):
        raise SettingsError(f"classes must be a list of class indices, not {classes!r}") from None
    if found.shape == (0,):
        return found.long()
    if found.is_floating_point() or found.dtype == torch.bool or found.is_complex() or found.ndim != 1:
        raise SettingsError(f"classes must be a list of class indices, not {found.dtype} of shape {tuple(found.shape)}")
    return found.long()


def as_images(images: Float[Tensor, "n _ H W"], climbable: object) -> Float[Tensor, "n _ H W"]:
    """Images in the floating point numbers of the network, where it says which these are."""
    wanted = getattr(climbable, "dtype", None)
    return images if wanted is None or not images.is_floating_point() else images.to(wanted)


@contextmanager
def understood(images: Float[Tensor, "n _ H W"], climbable: object) -> Iterator[None]:
    """Where a first pass fails, the true reason if it is the number of channels."""
    try:
        yield
    except RuntimeError as error:
        channels = len(getattr(climbable, "mean", ()))
        if channels in (0, images.shape[1]):
            raise
        raise SettingsError(
            f"images must have shape n x {channels} x H x W for this network, not {tuple(images.shape)}"
        ) from error


def check_pairs(images: Shaped[Tensor, ...], classes: Int[Tensor, " n"], num_classes: int | None) -> None:
    """Raise SettingsError where images and classes do not belong together or a class is not the network's."""
    if images.ndim != 4:
        raise SettingsError(f"images must have shape n x 3 x H x W, not {tuple(images.shape)}")
    if not images.is_floating_point():
        raise SettingsError(
            f"images must be floating point numbers in the network's input space, not {images.dtype}: normalise them, "
            "or give pictures to AdvCAM or localization_maps"
        )
    if len(classes) != len(images):
        raise SettingsError(f"there must be one class per image: {len(images)} images, {len(classes)} classes")
    if num_classes is None or not classes.numel():
        return
    if int(classes.min()) < 0 or int(classes.max()) >= num_classes:
        raise SettingsError(f"class indices must lie in 0..{num_classes - 1}, and are {classes.tolist()}")


def mirror(images: Float[Tensor, "... W"]) -> Float[Tensor, "... W"]:
    """Left and right exchanged."""
    return images.flip(-1)


def add_views(maps_NVhw: Float[Tensor, "n v h w"]) -> Float[Tensor, "n h w"]:
    """The image's map plus the mirror image's map turned back; one view is left as it is."""
    return maps_NVhw[:, 0] if maps_NVhw.shape[1] == 1 else maps_NVhw[:, 0] + mirror(maps_NVhw[:, 1])
