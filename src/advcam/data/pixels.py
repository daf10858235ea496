"""Pictures in memory, by the rules for files: the one way in for arrays, tensors and Pillow's images."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from advcam.data.images import rgb_pixels, to_rgb
from advcam.data.values import sixteen_bits, to_8_bit
from advcam.errors import DataError


def as_pixels(picture: Image.Image | np.ndarray | Tensor) -> UInt8[np.ndarray, "H W 3"]:
    """A picture from memory as ``read_image`` gives one from a file: the same rules hold for both.

    Args:
        picture: opened by Pillow; or an array or a tensor, height and width first, as 8-bit RGB, RGBA or grey, or as
            grey or RGB in 16 bits, 32-bit integers or floats.

    Raises:
        DataError: the picture has other axes, kinds of numbers or values.

    >>> as_pixels(np.full((8, 16), 0.5))[0, 0].tolist(), as_pixels(Image.new("L", (16, 8), 7)).shape
    ([128, 128, 128], (8, 16, 3))
    """
    if isinstance(picture, Image.Image):
        try:
            return rgb_pixels(picture)
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"the picture cannot be decoded ({error}): open another file") from error
    values = picture.detach().cpu().numpy() if isinstance(picture, Tensor) else np.asarray(picture)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    channels = values.shape[2] if values.ndim == 3 else 1
    if values.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in values.shape:
        hint = ", with the channels last" if values.ndim == 3 and values.shape[0] in (1, 3, 4) else ""
        raise DataError(
            f"the picture is an array of shape {tuple(values.shape)}, but must be height x width x 3{hint}: transpose "
            "or cut it"
        )
    if values.dtype == bool:
        values = values.astype(np.uint8) * 255
    if values.dtype == np.uint8:
        values = np.ascontiguousarray(values)
        return values if channels == 3 else np.array(to_rgb(Image.fromarray(values)))
    if channels == 4 or not (np.issubdtype(values.dtype, np.floating) or np.issubdtype(values.dtype, np.integer)):
        raise DataError(f"the picture holds {channels} channels of {values.dtype}: give 8-bit RGB")
    try:
        found = sixteen_bits(values) if values.dtype == np.uint16 else to_8_bit(values)
    except ValueError as error:
        raise DataError(f"the picture cannot be used, since {error}: give finite numbers") from error
    return np.repeat(found[..., None], 3, axis=2) if channels == 1 else found
