"""What a climb raises: the scores, and what restricts it (eq. 5 and 7).

Shape suffixes: M images, N pairs of (image, class), V views (the image, and its mirror image), K classes, h w cells.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# Guard the authors' program puts into its division; it is part of its numbers in float64.
EPS = 1e-12
# A cell whose mean saliency is below it is background: most of its pixels are, where the map is one of 0 and 1.
SALIENT = 0.5


def eq7(
    scores_NVK: Float[Tensor, "n v K"],
    map_Nhw: Float[Tensor, "n h w"],
    first_Nhw: Float[Tensor, "n h w"],
    mask_Nhw: Bool[Tensor, "n h w"],
    classes_N: Int[Tensor, " n"],
    reg_weight: float,
    *,
    suppress_others: bool,
) -> Float[Tensor, " n"]:
    """The objective: own score, minus the other classes' scores, minus the change of what is held (eq. 7)."""
    own_NV = scores_NVK[torch.arange(len(classes_N), device=classes_N.device), :, classes_N]
    objective_N = own_NV.sum(dim=1)
    if suppress_others:
        objective_N = 2 * objective_N - scores_NVK.sum(dim=(1, 2))
    if reg_weight == 0:
        return objective_N
    change_N = (mask_Nhw * (map_Nhw - first_Nhw).abs()).sum(dim=(1, 2))
    return objective_N - reg_weight * change_N


def restricting_mask(map_Nhw: Float[Tensor, "n h w"], tau: float, normalize: bool) -> Bool[Tensor, "n h w"]:
    """M of eq. 5: cells above tau, by default of the map's own maximum. Empty for a map of zeros."""
    if normalize:
        tiny = torch.finfo(map_Nhw.dtype).tiny
        map_Nhw = map_Nhw / map_Nhw.amax(dim=(1, 2), keepdim=True).clamp(min=tiny)
    return map_Nhw > tau


def background(saliency_MHW: Float[Tensor, "m H W"], map_Nhw: Float[Tensor, "n h w"]) -> Bool[Tensor, "m h w"]:
    """D of section 4.4 on the grid of the network's maps: cells that are background for the most part."""
    grid = (map_Nhw.shape[1], map_Nhw.shape[2])
    return torch.nn.functional.adaptive_avg_pool2d(saliency_MHW[:, None], grid)[:, 0] < SALIENT
