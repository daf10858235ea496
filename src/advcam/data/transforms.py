"""Pictures on their way into a network: resized as Pillow does, then normalised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from advcam.data.values import other_channels


def scaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Height and width times ``scale``, each rounded half to even as IRN does, and never less than one pixel.

    >>> scaled_size((97, 131), 1.5), scaled_size((97, 131), 0.5)
    ((146, 196), (48, 66))
    """
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def scale_image(image: UInt8[np.ndarray, "H W C"], scale: float) -> UInt8[np.ndarray, "h w C"]:
    """The picture at ``scale`` times its size, by Pillow's bicubic filter on 8-bit values; untouched at its own size.

    >>> scale_image(np.zeros((97, 131, 3), np.uint8), 2.0).shape
    (194, 262, 3)
    """
    height, width = scaled_size(image.shape[:2], scale)
    if (height, width) == image.shape[:2]:
        return image
    if image.shape[2] != 3:
        bands = (np.repeat(band[..., None], 3, axis=2) for band in np.moveaxis(image, 2, 0))
        return np.concatenate([scale_image(band, scale)[..., :1] for band in bands], axis=2)
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def resize_long_side(image: UInt8[np.ndarray, "H W C"], long_side: int) -> UInt8[np.ndarray, "h w C"]:
    """The picture with its longer side brought to ``long_side`` pixels, and the shorter one by the same factor.

    >>> resize_long_side(np.zeros((375, 500, 3), np.uint8), 320).shape
    (240, 320, 3)
    """
    return scale_image(image, long_side / max(image.shape[:2]))


def normalize(
    image: UInt8[np.ndarray, "H W C"], mean: Sequence[float], std: Sequence[float]
) -> Float32[np.ndarray, "C H W"]:
    """The network's input ``(u / 255 - mean) / std``: computed in double and rounded to float32, channels first.

    >>> normalize(np.full((1, 1, 3), 255, np.uint8), (0.5, 0.5, 0.0), (0.5, 0.25, 1.0)).ravel().tolist()
    [1.0, 2.0, 1.0]
    """
    if not image.shape[2] == len(mean) == len(std):
        raise other_channels(image.shape[2], len(mean))
    # A channel has 256 possible values: looking them up is quicker than computing each pixel in double.
    levels = np.arange(256)[:, None] / 255
    table = ((levels - np.asarray(mean)) / np.asarray(std)).astype(np.float32)
    return np.stack([table[image[..., channel], channel] for channel in range(len(mean))])


def random_window(length: int, crop: int, generator: np.random.Generator) -> tuple[slice, slice]:
    """One axis of a random crop: the part of the image that is kept, and where it lies in the crop.

    A uniform window where the image is at least as long as the crop; else the whole image at a uniform place.

    >>> random_window(80, 100, np.random.default_rng(0))
    (slice(0, 80, None), slice(17, 97, None))
    """
    start = int(generator.integers(abs(length - crop) + 1))
    if length >= crop:
        return slice(start, start + crop), slice(0, crop)
    return slice(0, length), slice(start, start + length)
