"""Anti-adversarial climbing (section 4.1 to 4.4): one forward and one backward pass to the input per step.

Shape suffixes: M images, N pairs of (image, class), V views (the image, and its mirror image), K classes, H W pixels,
h w cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from advcam.attribute.objective import background, changing, eq7, pair_map, scores_of
from advcam.attribute.pairs import check_pairs
from advcam.attribute.pixels import class_maps, in_order, input_gradients, memory_order, move, start, views
from advcam.attribute.settings import ClimbSettings
from advcam.errors import SettingsError
from advcam.models.mapper import ClassMapper
from advcam.models.split import skipping


@dataclass(frozen=True)
class ClimbStep:
    """What happened at one step, for analysis. Views: the image, and with ``flip`` its mirror image."""

    step: int
    images: Float[Tensor, "n v _ _ _"]
    """The manipulated images x^t, before this step's update; the feature maps instead, where those are climbed."""
    maps: Float[Tensor, "n h w"]
    """The map of the class, views added."""
    scores: Float[Tensor, "n v K"]
    """Scores of all classes."""
    objective: Float[Tensor, " n"]
    """L of eq. 7, the quantity that is raised."""
    pairs: tuple[int, ...]
    """Which of the pairs these are: those that still climb, all of them unless ``stop_change`` is set."""


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
    images: Float[Tensor, "m 3 H W"],
    classes: Int[Tensor, " n"],
    settings: ClimbSettings | None = None,
    *,
    owners: Sequence[int] | None = None,
    saliency: Float[Tensor, "m _ _"] | None = None,
    on_step: Callable[[ClimbStep], None] | None = None,
) -> Climbed:
    """``climb``, with the class activation map and the score of the unchanged image beside its sum.

    Args:
        owners: for every class, which of the images it is climbed in; None where there is one class per image. Classes
            of one image share the forward pass of its first step.
        saliency: of any size: it is averaged over the cells of the grid, so one map serves all scales.
    """
    settings = settings or ClimbSettings.released()
    mapper = skipping(mapper, settings.skip)
    owners = range(len(images)) if owners is None else owners
    begun = begin(mapper, images, classes, settings, owners, saliency=saliency, on_step=on_step)
    return Climbed(go_on(mapper, begun, classes, settings, on_step=on_step), begun.cam, begun.logits)


@dataclass(frozen=True)
class Begun:
    """Pairs after their first step."""

    images: Float[Tensor, "n v _ _ _"]
    """x^1: what the next step looks at, pixels or features."""
    unit: Float[Tensor, "n 1 1 1 1"] | None
    """Of a step, where features are climbed."""
    first: Float[Tensor, "n h w"]
    """The map of the unchanged image, views added."""
    held: Bool[Tensor, "n h w"] | None
    """Region D, cells that are held at the first map from the start."""
    cam: Float[Tensor, "n h w"]
    logits: Float[Tensor, "n K"]

    def __getitem__(self, pairs: slice | list[int]) -> Begun:
        """Some of the pairs."""
        unit, held = (None if part is None else part[pairs] for part in (self.unit, self.held))
        return Begun(self.images[pairs], unit, self.first[pairs], held, self.cam[pairs], self.logits[pairs])

    @classmethod
    def joined(cls, parts: Sequence[Begun]) -> Begun:
        """The pairs of several batches, one after the other."""
        held = [part.held for part in parts if part.held is not None]
        units = [part.unit for part in parts if part.unit is not None]
        return cls(
            torch.cat([part.images for part in parts]),
            torch.cat(units) if units else None,
            torch.cat([part.first for part in parts]),
            torch.cat(held) if held else None,
            torch.cat([part.cam for part in parts]),
            torch.cat([part.logits for part in parts]),
        )


def begin(
    mapper: ClassMapper,
    images: Float[Tensor, "m 3 H W"],
    classes: Int[Tensor, " n"],
    settings: ClimbSettings,
    owners: Sequence[int],
    *,
    saliency: Float[Tensor, "m _ _"] | None = None,
    on_step: Callable[[ClimbStep], None] | None = None,
) -> Begun:
    """The first step of every pair: one forward pass per image, one backward pass per pair (see ``climb_pairs``)."""
    check_pairs(mapper, images, classes, owners)
    own = list(owners)
    moves = settings.steps + settings.last_map > 1
    with mapper.frozen():
        x_MVCHW, unit_M = start(mapper, views(images.detach(), settings.flip, memory_order(mapper)))
        s_MVKhw = class_maps(mapper, x_MVCHW.requires_grad_(moves))
        s_NVKhw = s_MVKhw[own]
        map_Nhw = pair_map(s_NVKhw, mapper.weight, classes, relu=settings.relu, gradcam=settings.gradcam_scale)
        first_Nhw = map_Nhw.detach()
        held_Nhw = None if saliency is None else background(saliency, first_Nhw)[own]
        scores_NVK = scores_of(s_NVKhw, relu=settings.relu)
        objective_N = eq7(scores_NVK, map_Nhw, first_Nhw, classes, settings, held_Nhw)
        x_NVCHW = x_MVCHW.detach()[own]
        unit_N = None if unit_M is None else unit_M[own]
        if on_step is not None:
            on_step(ClimbStep(0, x_NVCHW, first_Nhw, scores_NVK.detach(), objective_N.detach(), tuple(range(len(own)))))
        if moves:
            x_NVCHW = move(x_NVCHW, input_gradients(objective_N, x_MVCHW, own), settings, unit_N)
    s_NVKhw = s_NVKhw.detach()
    cam_Nhw = pair_map(s_NVKhw, mapper.weight, classes, relu=True, gradcam=False)
    return Begun(x_NVCHW, unit_N, first_Nhw, held_Nhw, cam_Nhw, mapper.logits(s_NVKhw.mean(dim=1)))


def go_on(
    mapper: ClassMapper,
    begun: Begun,
    classes: Int[Tensor, " n"],
    settings: ClimbSettings,
    *,
    on_step: Callable[[ClimbStep], None] | None = None,
) -> Float[Tensor, "n h w"]:
    """The sum of the maps over all steps, the first one included.

    Nothing in the loop waits for the device, unless pairs are to be stopped: then it is asked once a step which pairs
    are left, and the others leave the batch.
    """
    maps = settings.steps + settings.last_map
    order = memory_order(mapper)
    x_NVCHW, total_Nhw, before_Nhw = in_order(begun.images, order), begun.first.clone(), begun.first
    climbing = list(range(len(classes)))
    with mapper.frozen():
        for step in range(1, maps):
            last = step == maps - 1  # the program computes one more update, which nothing ever sees
            s_NVKhw = class_maps(mapper, x_NVCHW.requires_grad_(not last))
            map_Nhw = pair_map(s_NVKhw, mapper.weight, classes, relu=settings.relu, gradcam=settings.gradcam_scale)
            total_Nhw[climbing if len(climbing) < len(total_Nhw) else ...] += map_Nhw.detach()
            if last and on_step is None:
                break
            scores_NVK = scores_of(s_NVKhw, relu=settings.relu)
            objective_N = eq7(scores_NVK, map_Nhw, begun.first, classes, settings, begun.held)
            if on_step is not None:
                map_, scores, objective = (tensor.detach() for tensor in (map_Nhw, scores_NVK, objective_N))
                on_step(ClimbStep(step, x_NVCHW.detach(), map_, scores, objective, tuple(climbing)))
            if not last:
                (g_NVCHW,) = torch.autograd.grad(objective_N.sum(), x_NVCHW)
                x_NVCHW = move(x_NVCHW.detach(), g_NVCHW, settings, begun.unit)
            if settings.stop_change > 0:
                moving, still = changing(map_Nhw.detach(), before_Nhw, settings.stop_change)
                # The map of a pair that stands still counts for the steps that are left to it.
                total_Nhw[[climbing[pair] for pair in still]] += (maps - 1 - step) * map_Nhw.detach()[still]
                climbing, before_Nhw = [climbing[pair] for pair in moving], map_Nhw.detach()[moving]
                if not climbing:
                    break
                if still:
                    x_NVCHW, begun, classes = in_order(x_NVCHW[moving], order), begun[moving], classes[moving]
    return total_Nhw


def check_saliency(saliency: Tensor, expected: tuple[int, ...]) -> None:
    """Raise SettingsError unless there is a saliency map of each image's size."""
    if saliency.shape != expected:
        raise SettingsError(f"saliency must have shape {expected} like the images, not {tuple(saliency.shape)}")
