"""Random changes of colour, for training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torchvision.transforms import functional


def jitter_colours(
    image: UInt8[np.ndarray, "H W 3"], limits: tuple[float, float, float, float], generator: np.random.Generator
) -> UInt8[np.ndarray, "H W 3"]:
    """The picture with brightness, contrast, saturation and hue changed, in random order: torchvision's rule.

    Brightness, contrast and saturation are multiplied by a uniform factor of ``[1 - limit, 1 + limit]`` (from 0), the
    hue is turned by a uniform part of the circle in ``[-limit, limit]``. A limit of 0 leaves its property alone.
    ``generator`` is asked for the order, then for the four changes.

    Args:
        image: RGB.
        limits: of brightness, contrast, saturation and hue; the last at most 0.5. PSA's are 0.3, 0.3, 0.3 and 0.1.

    >>> grey = np.full((2, 2, 3), 100, np.uint8)
    >>> jitter_colours(grey, (0.3, 0.0, 0.0, 0.0), np.random.default_rng(0))[0, 0].tolist()
    [72, 72, 72]
    """
    order = generator.permutation(4)
    factors = [generator.uniform(max(0.0, 1 - limit), 1 + limit) for limit in limits[:3]]
    factors.append(generator.uniform(-limits[3], limits[3]))
    steps: tuple[Callable[[Image.Image, float], Image.Image], ...] = (
        functional.adjust_brightness,
        functional.adjust_contrast,
        functional.adjust_saturation,
        functional.adjust_hue,
    )
    picture = Image.fromarray(image)
    for index in order:
        if limits[index] > 0:
            picture = steps[index](picture, factors[index])
    return np.asarray(picture)
