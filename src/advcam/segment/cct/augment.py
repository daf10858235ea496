"""CCT's augmentation of a training image and its mask, in its order: resize, pad, crop, mirror, normalize.

Shape suffixes: H, W height and width; 3 colour channels; S side of the crop.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from PIL import Image
from torch import Tensor

from advcam.data.masks import IGNORE
from advcam.data.transforms import normalize, resize_long_side
from advcam.segment.cct.settings import CCTSettings


def augment(
    image_HW3: UInt8[np.ndarray, "H W 3"],
    mask_HW: UInt8[np.ndarray, "H W"],
    mean: Sequence[float],
    std: Sequence[float],
    settings: CCTSettings,
    generator: np.random.Generator,
) -> tuple[Float[Tensor, "3 S S"], Int64[Tensor, "S S"]]:
    """A random view of a training image and its mask.

    1. The longer side becomes a uniform integer of ``settings.long_side``: the image by Pillow's bicubic filter, the
    mask by its nearest neighbour. 2. Where a side is shorter than the crop, the picture goes on in the mean colour
    and the mask in 255, at the bottom and on the right. 3. A uniform crop of ``settings.crop`` pixels. 4. A mirror
    image with probability 1/2. 5. Normalization. ``generator`` is asked in this order: long side, row, column, mirror.

    >>> view, labels = augment(np.full((40, 80, 3), 255, np.uint8), np.ones((40, 80), np.uint8), (0.5,) * 3, (0.5,) * 3,
    ...                        CCTSettings(long_side=(32, 32), crop=32), np.random.default_rng(0))
    >>> view.unique().tolist(), labels.unique().tolist(), (labels[:16] == 1).all().item()
    ([0.0, 1.0], [1, 255], True)
    """
    low, high = settings.long_side
    image_HW3 = resize_long_side(image_HW3, int(generator.integers(low, high + 1)))
    height, width, _ = image_HW3.shape
    if mask_HW.shape != (height, width):
        mask_HW = np.asarray(Image.fromarray(mask_HW).resize((width, height), Image.Resampling.NEAREST))
    side = settings.crop
    rows, columns = (_window(length, side, generator) for length in (height, width))
    # Zeros after the normalization, which is per pixel, are the mean colour.
    view_3SS = np.zeros((3, side, side), np.float32)
    labels_SS = np.full((side, side), IGNORE, np.int64)
    part = normalize(image_HW3[rows, columns], mean, std)
    view_3SS[:, : part.shape[1], : part.shape[2]] = part
    labels_SS[: part.shape[1], : part.shape[2]] = mask_HW[rows, columns]
    if settings.flip and generator.random() < 0.5:
        view_3SS, labels_SS = view_3SS[:, :, ::-1], labels_SS[:, ::-1]
    return torch.from_numpy(view_3SS.copy()), torch.from_numpy(labels_SS.copy())


def _window(length: int, side: int, generator: np.random.Generator) -> slice:
    start = int(generator.integers(max(length - side, 0) + 1))
    return slice(start, min(start + side, length))
