"""Anti-adversarial climbing (section 4.1 to 4.4): one loop over whatever map can be seen differentiably.

Shape suffixes: N pairs of (image, class), V views (the image, and its mirror image), K classes, H W pixels, h w cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from advcam.attribute.maps.cam import CAM
from advcam.attribute.objective import background, eq7, restricting_mask
from advcam.attribute.pairs import add_views, as_classes, as_images, check_pairs, understood
from advcam.attribute.pixels import move, views
from advcam.attribute.seen import Climbable
from advcam.attribute.settings import ClimbSettings
from advcam.data.pixels import takes_arrays
from advcam.errors import SettingsError
from advcam.models.mapper import ClassMapper
from advcam.models.probe import climbing

C = TypeVar("C", bound=Climbable)


@dataclass(frozen=True)
class ClimbStep:
    """What happened at one step, for analysis. Views: the image, and with ``flip`` its mirror image."""

    step: int
    images: Float[Tensor, "n v C H W"]
    """The manipulated images x^t, before this step's update."""
    maps: Float[Tensor, "n h w"]
    """The map of the class, views added."""
    scores: Float[Tensor, "n v K"]
    """Scores of all classes."""
    objective: Float[Tensor, " n"]
    """L of eq. 7, the quantity that is raised."""


@takes_arrays
def climb(
    mapper: ClassMapper | Climbable,
    images: Float[Tensor, "n _ H W"],
    classes: Integer[Tensor, " n"] | np.ndarray | Sequence[int],
    settings: ClimbSettings | None = None,
    *,
    saliency: Float[Tensor, "n H W"] | None = None,
    on_step: Callable[[ClimbStep], None] | None = None,
) -> Float[Tensor, "n h w"]:
    """Sum of the class's maps while the image climbs towards the class (eq. 3 to 7).

    Every pair of image and class climbs on its own: its map does not depend on the rest of the batch. A class that
    the classifier does not see anywhere in its image keeps a map of zeros, never NaN. Gradients are switched on
    inside, whatever is around it.

    Args:
        mapper: the classifier, or any map that can be climbed, such as those of ``advcam.maps``.
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
    """What a climb leaves behind: the sum of the step maps, and what its first forward pass shows for nothing.

    Other methods, and maps at other sizes, have the same form."""

    maps: Float[Tensor, "n h w"]
    """Sum of the class's maps over the steps, or the last of them, as the settings say."""
    cam: Float[Tensor, "n h w"]
    """The positive map of the unchanged image, views added: the baseline."""
    logits: Float[Tensor, "n K"]
    """What the network answers to the unchanged image, before sigmoid or softmax, bias included, mean of the views."""


def climb_pairs(
    mapper: ClassMapper | Climbable,
    images: Float[Tensor, "n _ H W"],
    classes: Integer[Tensor, " n"] | np.ndarray | Sequence[int],
    settings: ClimbSettings | None = None,
    *,
    saliency: Float[Tensor, "n _ _"] | None = None,
    on_step: Callable[[ClimbStep], None] | None = None,
) -> Climbed:
    """``climb``, with the baseline and the answer for the unchanged image beside its sum.

    Nothing in the loop waits for the device. ``saliency`` may be of any size: it is averaged over the cells of the
    grid, so one map serves all scales.
    """
    settings = settings or ClimbSettings.released()
    if settings.calibrate is not None:
        raise SettingsError("climb.calibrate is of a run: here analyse.calibration.calibrate chooses step and lambda")
    climbable = as_climbable(mapper, settings)
    with climbing(climbable):
        classes_N = as_classes(classes, images.device)
        check_pairs(images, classes_N, getattr(climbable, "num_classes", None))
        # A copy where the images were made in inference mode, which no gradient may pass.
        images = as_images(images, climbable)
        x_NVCHW = views(climbable.start(images.clone() if images.is_inference() else images.detach()), settings.flip)
        lam, others = settings.weight_for(*images.shape[2:]), settings.suppress_others
        for step in range(settings.maps):
            last = step == settings.maps - 1  # the program computes one more update, which nothing ever sees
            with understood(images, climbable):
                seen = climbable.see(x_NVCHW.requires_grad_(not last), classes_N)
            map_Nhw = add_views(seen.maps)
            kept_Nhw = map_Nhw.detach() if seen.kept is None else add_views(seen.kept.detach())
            if step == 0:
                first_Nhw, total_Nhw = map_Nhw.detach(), kept_Nhw.clone()
                plain_NVhw = next(m for m in (seen.plain, seen.kept, seen.maps) if m is not None).detach().relu()
                logits_NVK = (seen.scores if seen.logits is None else seen.logits).detach()
                held_Nhw = None if saliency is None else background(saliency, first_Nhw)
            elif settings.aggregate == "sum":
                total_Nhw += kept_Nhw
            else:
                total_Nhw = kept_Nhw
            if last and on_step is None:
                break
            mask_Nhw = restricting_mask(map_Nhw.detach(), settings.mask_threshold, settings.normalize_mask)
            mask_Nhw = mask_Nhw if held_Nhw is None else mask_Nhw | held_Nhw
            objective_N = eq7(seen.scores, map_Nhw, first_Nhw, mask_Nhw, classes_N, lam, suppress_others=others)
            if on_step is not None:
                told = (tensor.detach() for tensor in (x_NVCHW, map_Nhw, seen.scores, objective_N))
                on_step(ClimbStep(step, *told))
            if not last:
                (g_NVCHW,) = torch.autograd.grad(objective_N.sum(), x_NVCHW)
                bounds = {"normalize": settings.normalize_gradient, "clamp": settings.clamp}
                x_NVCHW = move(x_NVCHW.detach(), g_NVCHW, settings.step_size, **bounds)
    finish = getattr(climbable, "finish", None)
    return Climbed(total_Nhw if finish is None else finish(total_Nhw), add_views(plain_NVhw), logits_NVK.mean(dim=1))


def as_climbable(mapper: ClassMapper | C, settings: ClimbSettings) -> CAM | C:
    """The map itself, or the class activation map of a bare classifier as the settings read it."""
    return CAM(mapper, signed=settings.signed) if isinstance(mapper, ClassMapper) else mapper


def check_saliency(saliency: Tensor, expected: tuple[int, ...]) -> None:
    """Raise SettingsError unless there is a saliency map of each image's size."""
    if saliency.shape != expected:
        raise SettingsError(f"saliency must have shape {expected} like the images, not {tuple(saliency.shape)}")
