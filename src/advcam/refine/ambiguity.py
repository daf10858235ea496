"""What label and saliency disagree on (section 4.5)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, UInt8

from advcam.data.masks import IGNORE


def without_ambiguous(mask: UInt8[np.ndarray, "H W"], salient: Bool[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """The mask with 255 where a class lies on the detector's background, or background on its object.

    A segmentation network is not trained on these pixels (section 4.5 of the paper). What is 255 already stays so.

    Args:
        mask: dataset labels: 0 background, ``class + 1``, 255 ignore.
        salient: True where the detector sees an object.

    >>> import numpy as np
    >>> mask = np.array([[0, 0, 5, 5, 255]], np.uint8)
    >>> without_ambiguous(mask, np.array([[False, True, False, True, True]])).tolist()
    [[0, 255, 255, 5, 255]]
    """
    return np.where((mask > 0) == salient, mask, np.uint8(IGNORE))
