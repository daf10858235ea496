"""How much of an object a map covers and how much it spills, without a threshold.

Shape suffixes: H W pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def coverage(
    localization_map: Float[Tensor, "H W"], mask: UInt8[np.ndarray, "H W"], class_index: int
) -> tuple[float, float, float]:
    """Mean of a map in [0, 1] over the class's object, over the background, and over the objects of other classes.

    Ignored pixels do not count; a mean over nothing is NaN.

    >>> coverage(torch.tensor([[1.0, 0.5, 0.2, 0.0]]), np.array([[1, 1, 2, 0]], np.uint8), 0)
    (0.75, 0.0, 0.20000000298023224)
    """
    labels = torch.from_numpy(mask)
    own = labels == class_index + 1
    elsewhere = labels == 0
    other = (labels != 0) & (labels != 255) & ~own
    return tuple(float(localization_map[part].mean()) for part in (own, elsewhere, other))  # type: ignore[return-value]
