"""Pixel-adaptive refinement of masks (Araslanov and Roth, CVPR 2020): local averaging over pixels of like colour.

Shape suffixes: k maps, D dilations, o the eight neighbours of every dilation, H W pixels.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from advcam.errors import DataError
from advcam.refine.pairs import window_at
from advcam.refine.settings import PAMRSettings

_NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


@torch.no_grad()
def pamr(
    image: UInt8[Tensor, "height width 3"], scores: Float[Tensor, "k H W"], settings: PAMRSettings | None = None
) -> Float[Tensor, "k H W"]:
    """Scores after some rounds in which every pixel takes the mean of its neighbours, weighted by likeness of colour.

    The weight of neighbour j of pixel i is the softmax over all neighbours of ``-mean over RGB |x_i - x_j| / (width
    s_i)``, s_i the standard deviation of a channel over i and its neighbours. Weights sum to 1: a constant map stays as
    it is and no map leaves its range, so maps may be refined without the background and compared with its threshold
    afterwards. The border is repeated. On the scores' device, in their dtype.

    Args:
        scores: maps of the image's size, of any range.
        settings: ``PAMRSettings()`` unless told.

    >>> image = torch.tensor([[[0], [0], [255], [255]]], dtype=torch.uint8).expand(1, 4, 3)
    >>> pamr(image, torch.tensor([[[1.0, 0.0, 0.0, 0.0]]]), PAMRSettings(iterations=1, dilations=(1,)))
    tensor([[[0.6250, 0.6000, 0.0000, 0.0000]]])
    """
    settings = settings or PAMRSettings()
    if image.shape[:2] != scores.shape[1:]:
        raise DataError(
            f"the image is of {image.shape[0]} x {image.shape[1]} pixels, but the scores of "
            f"{scores.shape[1]} x {scores.shape[2]}: bring the scores to its size"
        )
    if not len(scores) or not settings.iterations:
        return scores.clone()
    x_3HW = image.to(scores.device).permute(2, 0, 1).to(scores) / 255
    weights_OHW = _weights(x_3HW, settings)
    for _ in range(settings.iterations):
        padded_KHW, reach = _padded(scores, settings.dilations), max(settings.dilations)
        after_KHW = torch.zeros_like(scores)
        for weight_HW, offset in zip(weights_OHW, _offsets(settings.dilations), strict=True):
            after_KHW.addcmul_(weight_HW, window_at(padded_KHW, offset, reach))
        scores = after_KHW
    return scores


def _weights(x_3HW: Tensor, settings: PAMRSettings) -> Float[Tensor, "o H W"]:
    offsets, reach = _offsets(settings.dilations), max(settings.dilations)
    padded_3HW = _padded(x_3HW, settings.dilations)
    differences = [window_at(padded_3HW, offset, reach) - x_3HW for offset in offsets]
    # Differences from the pixel itself: the variance of alike colours keeps its digits.
    mean_3HW, square_3HW = torch.zeros_like(x_3HW), torch.zeros_like(x_3HW)
    for difference_3HW in differences:
        mean_3HW += difference_3HW
        square_3HW.addcmul_(difference_3HW, difference_3HW)
    count = len(offsets) + 1
    deviation_3HW = (square_3HW / count - (mean_3HW / count).square()).clamp(min=0).sqrt()
    # Where all colours are equal every distance is 0 too.
    scale_3HW = 1 / (settings.width * deviation_3HW + 1e-6)
    distances = [(difference_3HW.abs_() * scale_3HW).mean(dim=0) for difference_3HW in differences]
    return torch.stack(distances).neg_().softmax(dim=0)


def _offsets(dilations: tuple[int, ...]) -> list[tuple[int, int]]:
    return [(dy * d, dx * d) for d in dilations for dy, dx in _NEIGHBOURS]


def _padded(maps: Tensor, dilations: tuple[int, ...]) -> Tensor:
    return functional.pad(maps[None], (max(dilations),) * 4, mode="replicate")[0]
