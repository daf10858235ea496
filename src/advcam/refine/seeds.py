"""Hard labels from localization maps.

Shape suffixes: k classes of the image, H W pixels. A *local* label counts the image's own classes, 1..k in the order
of the maps; a *dataset* label is ``class + 1``. Both have 0 for the background, and 255 for ignored pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from advcam.data.masks import IGNORE
from advcam.data.pixels import takes_arrays
from advcam.errors import DataError


@takes_arrays
def local_seed(maps: Float[Tensor, "k H W"], threshold: float) -> UInt8[Tensor, "H W"]:
    """Each pixel's arg max over [threshold; maps] (section 5.2): 0 is background, j + 1 the j-th map.

    A map must be above the threshold to win, equal maps go to the earlier one, and the comparison is made in the
    maps' own precision, as the reference programs make it. An image without maps is all background.

    Args:
        maps: one per class of the image, in [0, 1].

    >>> import torch
    >>> local_seed(torch.tensor([[[0.2, 0.3, 0.6]], [[0.1, 0.9, 0.6]]]), 0.2)
    tensor([[0, 2, 1]], dtype=torch.uint8)
    """
    if len(maps) >= IGNORE:
        raise DataError(f"an indexed mask has room for {IGNORE - 1} classes, but one image has {len(maps)} maps")
    if len(maps) == 0:
        return maps.new_zeros(maps.shape[1:], dtype=torch.uint8)
    value_HW, winner_HW = maps.max(dim=0)
    if not value_HW.isfinite().all():
        raise DataError("the maps hold values that are not finite numbers: make them again, from finite weights")
    return torch.where(value_HW > torch.tensor(threshold, dtype=torch.float64).to(maps), winner_HW + 1, 0).to(
        torch.uint8
    )


@takes_arrays
def dataset_labels(
    local: UInt8[Tensor, "H W"], classes: Int[Tensor, " k"] | UInt8[Tensor, " k"] | Sequence[int]
) -> UInt8[Tensor, "H W"]:
    """Local labels as dataset labels: j becomes ``classes[j - 1] + 1``; background stays 0, ignored stays 255.

    >>> import torch
    >>> dataset_labels(torch.tensor([[0, 1, 2, 255]], dtype=torch.uint8), torch.tensor([4, 14]))
    tensor([[  0,   5,  15, 255]], dtype=torch.uint8)
    """
    classes = torch.as_tensor(classes, device=local.device).long()
    if classes.ndim != 1:
        raise DataError(f"classes must be a list of class indices, not of shape {tuple(classes.shape)}")
    if len(classes) and not (int(classes.min()) >= 0 and int(classes.max()) + 1 < IGNORE):
        raise DataError(
            f"an indexed mask has room for classes 0..{IGNORE - 2}, but the image has the classes {classes.tolist()}"
        )
    table = torch.zeros(256, dtype=torch.uint8, device=local.device)
    table[1 : len(classes) + 1] = (classes + 1).to(table)
    table[IGNORE] = IGNORE
    named = (local <= len(classes)) | (local == IGNORE)
    if not named.all():
        raise DataError(
            f"a seed holds the local label {int(local[~named][0])}, but its image has {len(classes)} classes"
        )
    return table[local.long()]


@takes_arrays
def seed_labels(
    maps: Float[Tensor, "k H W"], classes: Int[Tensor, " k"] | UInt8[Tensor, " k"] | Sequence[int], threshold: float
) -> UInt8[Tensor, "H W"]:
    """The seed: each pixel's class by arg max over the background threshold and the image's own classes.

    Args:
        maps: localization maps of the image's classes, in [0, 1].
        threshold: the background's value, in the maps' units.

    Returns:
        Dataset labels: 0 background, ``class + 1``.

    >>> import torch
    >>> seed_labels(torch.tensor([[[0.2, 0.3, 0.6]], [[0.1, 0.9, 0.6]]]), torch.tensor([4, 14]), 0.2)
    tensor([[ 0, 15,  5]], dtype=torch.uint8)
    """
    if len(classes) != len(maps):
        raise DataError(f"there are {len(maps)} maps, but {len(classes)} classes: give one class for each map")
    return dataset_labels(local_seed(maps, threshold), classes)


def confident_labels(
    foreground: UInt8[Tensor, "H W"],
    background: UInt8[Tensor, "H W"],
    classes: Int[Tensor, " k"] | UInt8[Tensor, " k"] | Sequence[int],
) -> UInt8[Tensor, "H W"]:
    """IRN's labels of what is sure: foreground by a strict seed, background by a generous one, 255 between them.

    Both seeds are local labels of one image, ``local_seed`` at the two thresholds of ``SeedSettings``, each refined
    by a dense CRF before it comes here. A pixel that the strict seed calls foreground keeps that class; one that
    both call background is background; any other is ignored (IRN's ``cam_to_ir_label`` program).

    Args:
        foreground: the strict seed (threshold ``confident_foreground``).
        background: the generous seed (threshold ``confident_background``).

    Returns:
        Dataset labels with 255 where neither is sure.

    >>> import torch
    >>> maps = torch.tensor([[[0.1, 0.2, 0.6]]])
    >>> confident_labels(local_seed(maps, 0.35), local_seed(maps, 0.15), torch.tensor([7]))
    tensor([[  0, 255,   8]], dtype=torch.uint8)
    """
    sure = dataset_labels(foreground, classes)
    unsure = (foreground == 0) & (background != 0)
    return sure.masked_fill(unsure, IGNORE)


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
