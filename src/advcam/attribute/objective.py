"""What a climb looks at and what it raises: the map of a class, the restricting mask, the objective (eq. 2, 5, 7).

Shape suffixes: N pairs of (image, class), V views (the image, and its mirror image), K classes, H W pixels, h w cells.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from advcam.attribute.pairs import mirror
from advcam.attribute.settings import ClimbSettings

# Guard the authors' program puts into its division; it is part of its numbers in float64.
EPS = 1e-12
# A cell whose mean saliency is below it is background: most of its pixels are, where the map is one of 0 and 1.
SALIENT = 0.5


def add_views(maps_NVhw: Float[Tensor, "n v h w"]) -> Float[Tensor, "n h w"]:
    """The image's map plus the mirror image's map turned back; one view is left as it is."""
    return maps_NVhw[:, 0] if maps_NVhw.shape[1] == 1 else maps_NVhw[:, 0] + mirror(maps_NVhw[:, 1])


def pair_map(
    s_NVKhw: Float[Tensor, "n v K h w"],
    weight_KC: Float[Tensor, "K C"],
    classes: Int[Tensor, " n"],
    *,
    relu: bool,
    gradcam: bool,
) -> Float[Tensor, "n h w"]:
    """The class's map, views added with the mirrored one turned back.

    The program obtains it as Grad-CAM of the summed positive class map, with weights averaged over the positive
    gradient entries. In closed form that is ``ReLU(S_b) N_b / ((N_0 + N_1) K+)`` with N_b positive cells in view b
    and K+ positive head weights; the fraction carries no gradient.
    """
    s_NVhw = s_NVKhw[torch.arange(len(classes), device=s_NVKhw.device), :, classes]
    r_NVhw = s_NVhw.relu() if relu else s_NVhw
    if gradcam:
        positive_NV = (s_NVhw.detach() > 0).sum(dim=(2, 3)).to(s_NVKhw.dtype)
        k_N = (weight_KC[classes] > 0).sum(dim=1).clamp(min=1).to(s_NVKhw.dtype)
        share_NV = positive_NV / (k_N[:, None] * positive_NV.sum(dim=1, keepdim=True) + EPS)
        r_NVhw = r_NVhw * share_NV[:, :, None, None]
    return add_views(r_NVhw)


def scores_of(s_NVKhw: Float[Tensor, "n v K h w"], *, relu: bool) -> Float[Tensor, "n v K"]:
    """y_k: the mean of each class's map or, in the program, of its positive part."""
    return (s_NVKhw.relu() if relu else s_NVKhw).mean(dim=(3, 4))


def eq7(
    scores_NVK: Float[Tensor, "n v K"],
    map_Nhw: Float[Tensor, "n h w"],
    first_Nhw: Float[Tensor, "n h w"],
    classes: Int[Tensor, " n"],
    settings: ClimbSettings,
    held_Nhw: Bool[Tensor, "n h w"] | None = None,
) -> Float[Tensor, " n"]:
    """The objective: own score, minus the other classes' scores, minus the change of what is already high (eq. 7)."""
    own_NV = scores_NVK[torch.arange(len(classes), device=classes.device), :, classes]
    objective_N = own_NV.sum(dim=1)
    if settings.suppress_others:
        objective_N = 2 * objective_N - scores_NVK.sum(dim=(1, 2))
    if settings.reg_weight == 0:
        return objective_N
    mask_Nhw = restricting_mask(map_Nhw.detach(), settings.mask_threshold, settings.normalize_mask)
    if held_Nhw is not None:
        mask_Nhw = mask_Nhw | held_Nhw
    change_N = (mask_Nhw * (map_Nhw - first_Nhw).abs()).sum(dim=(1, 2))
    return objective_N - settings.reg_weight * change_N


def restricting_mask(map_Nhw: Float[Tensor, "n h w"], tau: float, normalize: bool) -> Bool[Tensor, "n h w"]:
    """M of eq. 5: cells above tau, by default of the map's own maximum. Empty for a map of zeros."""
    if normalize:
        tiny = torch.finfo(map_Nhw.dtype).tiny
        map_Nhw = map_Nhw / map_Nhw.amax(dim=(1, 2), keepdim=True).clamp(min=tiny)
    return map_Nhw > tau


def changing(
    map_Nhw: Float[Tensor, "n h w"], before_Nhw: Float[Tensor, "n h w"], least: float
) -> tuple[list[int], list[int]]:
    """Pairs whose map has moved by more than the part ``least`` of itself, summed over the cells, and the others."""
    moved_N = (map_Nhw - before_Nhw).abs().sum(dim=(1, 2)) > least * map_Nhw.abs().sum(dim=(1, 2))
    answers = list(enumerate(moved_N.tolist()))
    return [pair for pair, moved in answers if moved], [pair for pair, moved in answers if not moved]


def background(saliency_MHW: Float[Tensor, "m H W"], map_Nhw: Float[Tensor, "n h w"]) -> Bool[Tensor, "m h w"]:
    """D of section 4.4 on the grid of the network's maps: cells that are background for the most part."""
    grid = (map_Nhw.shape[1], map_Nhw.shape[2])
    return torch.nn.functional.adaptive_avg_pool2d(saliency_MHW[:, None], grid)[:, 0] < SALIENT
