"""Anti-adversarial climbing (section 4.1 to 4.4): one forward and one backward pass to the input per step.

Shape suffixes: N pairs of (image, class), V views (the image, and its mirror image), K classes, H W pixels, h w cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from advcam.attribute.pairs import check_pairs, mirror
from advcam.attribute.settings import ClimbSettings
from advcam.errors import SettingsError
from advcam.models.mapper import ClassMapper

# Guards the authors' program puts into its two divisions; they are part of its numbers in float64.
EPS = 1e-12
# A cell whose mean saliency is below it is background: most of its pixels are, where the map is one of 0 and 1.
SALIENT = 0.5


@dataclass(frozen=True)
class ClimbStep:
    """What happened at one step, for analysis. Views: the image, and with ``flip`` its mirror image."""

    step: int
    images: Float[Tensor, "n v 3 H W"]
    """The manipulated images x^t, before this step's update."""
    maps: Float[Tensor, "n h w"]
    """The map of the class, views added."""
    scores: Float[Tensor, "n v K"]
    """Scores of all classes."""
    objective: Float[Tensor, " n"]
    """L of eq. 7, the quantity that is raised."""


def climb(
    mapper: ClassMapper,
    images: Float[Tensor, "n 3 H W"],
    classes: Int[Tensor, " n"],
    settings: ClimbSettings | None = None,
    *,
    saliency: Float[Tensor, "n H W"] | None = None,
    on_step: Callable[[ClimbStep], None] | None = None,
) -> Float[Tensor, "n h w"]:
    """Sum of the class's maps while the image climbs towards the class (eq. 3 to 7).

    Every pair of image and class climbs on its own: its map does not depend on the rest of the batch. A class that
    the classifier does not see anywhere in its image keeps a map of zeros, never NaN.

    Args:
        mapper: the classifier.
        images: in the network's input space, ``(u / 255 - mean) / std``.
        classes: one class index per image; repeat an image to climb several of its classes.
        settings: ``ClimbSettings.released()`` unless told.
        saliency: the salient-object maps of the images in [0, 1], 1 where there is an object; cells with a mean
            below 0.5 are background, and their map is held at its first value as well (region D of section 4.4).
            It lies over the image as it is: the mirror image's map is turned back before it is held.
        on_step: called at every step with a ``ClimbStep``.

    Returns:
        The raw sum over the steps on the network's grid, neither normalised nor weighted.

    Raises:
        SettingsError: shapes or class indices that do not fit.

    >>> import torch, advcam
    >>> mapper = advcam.ClassMapper(torch.nn.Conv2d(3, 8, 3, stride=4, padding=1), torch.randn(5, 8))
    >>> advcam.climb(mapper, torch.randn(2, 3, 32, 48), torch.tensor([0, 3])).shape
    torch.Size([2, 8, 12])
    """
    if saliency is not None:
        check_saliency(saliency, (images.shape[0], *images.shape[2:]))
    return climb_pairs(mapper, images, classes, settings, saliency=saliency, on_step=on_step).maps


@dataclass(frozen=True)
class Climbed:
    """What a climb leaves behind: the sum of the step maps, and what its first forward pass shows for nothing."""

    maps: Float[Tensor, "n h w"]
    """Sum of the class's maps over the steps."""
    cam: Float[Tensor, "n h w"]
    """The positive class activation map of the unchanged image, views added: the baseline."""
    logits: Float[Tensor, "n K"]
    """Scores of all classes for the unchanged image, before sigmoid or softmax, bias included, mean of the views."""


def climb_pairs(
    mapper: ClassMapper,
    images: Float[Tensor, "n 3 H W"],
    classes: Int[Tensor, " n"],
    settings: ClimbSettings | None = None,
    *,
    saliency: Float[Tensor, "n _ _"] | None = None,
    on_step: Callable[[ClimbStep], None] | None = None,
) -> Climbed:
    """``climb``, with the class activation map and the score of the unchanged image beside its sum.

    Saliency maps may be of any size: they are averaged over the cells of the grid, so one map serves all scales.
    """
    settings = settings or ClimbSettings.released()
    check_pairs(mapper, images, classes)
    x_NV3HW = views(images.detach(), settings.flip)
    maps = settings.steps + settings.last_map
    with mapper.frozen():
        for step in range(maps):
            x_NV3HW = x_NV3HW.requires_grad_(step < settings.steps)
            s_NVKhw = mapper.class_maps(x_NV3HW.flatten(0, 1)).unflatten(0, x_NV3HW.shape[:2])
            map_Nhw = pair_map(s_NVKhw, mapper.weight, classes, relu=settings.relu, gradcam=settings.gradcam_scale)
            if step == 0:
                first_Nhw = total_Nhw = map_Nhw.detach()
                cam_Nhw = pair_map(s_NVKhw.detach(), mapper.weight, classes, relu=True, gradcam=False)
                logits_NK = mapper.logits(s_NVKhw.detach().mean(dim=1))
                held_Nhw = None if saliency is None else background(saliency, first_Nhw)
            else:
                total_Nhw = total_Nhw + map_Nhw.detach()
            last = step == maps - 1
            if last and on_step is None:
                break  # the program computes one more update, which nothing ever sees
            scores_NVK = (s_NVKhw.relu() if settings.relu else s_NVKhw).mean(dim=(3, 4))
            objective_N = eq7(scores_NVK, map_Nhw, first_Nhw, classes, settings, held_Nhw)
            if on_step is not None:
                seen = (x_NV3HW, map_Nhw, scores_NVK, objective_N)
                on_step(ClimbStep(step, *(tensor.detach() for tensor in seen)))
            if not last:
                (g_NV3HW,) = torch.autograd.grad(objective_N.sum(), x_NV3HW)
                x_NV3HW = move(x_NV3HW.detach(), g_NV3HW, settings)
    return Climbed(total_Nhw, cam_Nhw, logits_NK)


def views(images_N3HW: Float[Tensor, "n 3 H W"], flip: bool) -> Float[Tensor, "n v 3 H W"]:
    """The images as a pair with their mirror images, or alone."""
    return torch.stack([images_N3HW, mirror(images_N3HW)], dim=1) if flip else images_N3HW[:, None]


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


def check_saliency(saliency: Tensor, expected: tuple[int, ...]) -> None:
    """Raise SettingsError unless there is a saliency map of each image's size."""
    if saliency.shape != expected:
        raise SettingsError(f"saliency must have shape {expected} like the images, not {tuple(saliency.shape)}")


def background(saliency_NHW: Float[Tensor, "n H W"], map_Nhw: Float[Tensor, "n h w"]) -> Bool[Tensor, "n h w"]:
    """D of section 4.4 on the network's grid: cells that are background for the most part."""
    grid = (map_Nhw.shape[1], map_Nhw.shape[2])
    return torch.nn.functional.adaptive_avg_pool2d(saliency_NHW[:, None], grid)[:, 0] < SALIENT


def move(
    x_NV3HW: Float[Tensor, "n v 3 H W"], g_NV3HW: Float[Tensor, "n v 3 H W"], settings: ClimbSettings
) -> Float[Tensor, "n v 3 H W"]:
    """One update of the pixels (eq. 6), as the settings bound it."""
    if settings.normalize_gradient:
        g_NV3HW = g_NV3HW / (g_NV3HW.flatten(1).abs().amax(dim=1)[:, None, None, None, None] + EPS)
    moved_NV3HW = x_NV3HW + settings.step_size * g_NV3HW
    if not settings.clamp:
        return moved_NV3HW
    # The program keeps the bounds in single precision whatever the images are in.
    low_N, high_N = (bound.float().to(x_NV3HW.dtype) for bound in torch.aminmax(x_NV3HW.flatten(1), dim=1))
    shape = (-1, 1, 1, 1, 1)
    return torch.minimum(torch.maximum(moved_NV3HW, low_N.view(shape)), high_N.view(shape))
