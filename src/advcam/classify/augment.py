"""IRN's augmentation of a training image, in its order: resize, normalize, mirror, crop.

Shape suffixes: H, W height and width; C channels; S side of the crop.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from advcam.classify.settings import ClassifySettings
from advcam.data.jitter import jitter_colours
from advcam.data.transforms import normalize, random_window, resize_long_side


def augment(
    image_HWC: UInt8[np.ndarray, "H W C"],
    mean: Sequence[float],
    std: Sequence[float],
    settings: ClassifySettings,
    generator: np.random.Generator,
) -> Float[Tensor, "C S S"]:
    """A random view of a training image: section 5.1 of the paper trains IRN's classifier, and this is its order.

    1. The longer side becomes a uniform integer of ``settings.long_side``, both ends included. 2. Normalization.
    3. A mirror image with probability 1/2, if ``settings.flip``, and changed colours, if ``settings.jitter``. 4. A
    square of ``settings.crop`` pixels: along each axis a uniform window of the image, or, where the image is shorter,
    the whole image at a uniform place in zeros (which are the mean colour, since they come after the normalization).
    ``generator`` is asked in this order: long side, mirror, colours, row, column.
    """
    low, high = settings.long_side
    image_HWC = resize_long_side(image_HWC, int(generator.integers(low, high + 1)))
    if settings.flip and generator.random() < 0.5:
        image_HWC = image_HWC[:, ::-1]
    if any(settings.jitter):
        image_HWC = jitter_colours(np.ascontiguousarray(image_HWC), settings.jitter, generator)
    rows, rows_in_crop = random_window(image_HWC.shape[0], settings.crop, generator)
    columns, columns_in_crop = random_window(image_HWC.shape[1], settings.crop, generator)
    crop_CSS = torch.zeros(len(mean), settings.crop, settings.crop)
    # Normalization is per pixel: doing it on the window alone gives the same numbers for less work.
    crop_CSS[:, rows_in_crop, columns_in_crop] = torch.from_numpy(normalize(image_HWC[rows, columns], mean, std))
    return crop_CSS
