"""Settings of the climb. The authors' program and the paper differ; both are here by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

from advcam.errors import SettingsError


@runtime_checkable
class NetworkFacts(Protocol):
    """What the climb's units depend on; a ``ClassMapper`` has it."""

    @property
    def input_range(self) -> float: ...

    @property
    def channels(self) -> int: ...

    @property
    def layer(self) -> str | None: ...


# The authors' network: pixels normalised with ImageNet's statistics, 2048 channels into the head, output stride 16.
# lambda and the step size have the meaning of the paper in these units only.
AUTHORS_INPUT_RANGE = (1 - 0.406) / 0.225 + 0.485 / 0.229
AUTHORS_CHANNELS = 2048
AUTHORS_STRIDE = 16
# Of their networks for localization: cells of 8 pixels (28 x 28 maps).
LOCALIZATION_STRIDE = 8


@dataclass(frozen=True)
class ClimbSettings:
    """How an image is climbed (section 4.1 to 4.4). The defaults are the authors' program, ``released()``."""

    steps: int = 27
    """T, number of climbing steps (section 5.1). The map of the unchanged image is the first one summed."""
    step_size: float = 0.08
    """xi of eq. 3. With ``normalize_gradient`` it is the largest change of any pixel in one step, in units of the
    network's input (ImageNet's normalisation spans 4.76)."""
    reg_weight: float = 7.0
    """lambda of eq. 7. It multiplies a sum over grid cells, so its strength grows with the grid."""
    mask_threshold: float = 0.5
    """tau of eq. 5. A cell above it is kept near its value at step 0."""
    suppress_others: bool = True
    """Lower the scores of all other classes of the data set (eq. 7, second term)."""
    flip: bool = True
    """Climb the image and its mirror image together; their maps are added, the mirrored one turned back."""
    relu: bool = True
    """Take the positive part of class maps, in scores and in maps (program), instead of signed ones (eq. 2 and 3)."""
    gradcam_scale: bool = True
    """Multiply maps by the factor that the program's Grad-CAM comes to, rho / K+ (see ``climb.pair_map``)."""
    normalize_mask: bool = True
    """Divide the map by its maximum before comparing with tau (program) instead of comparing it raw (eq. 5)."""
    normalize_gradient: bool = True
    """Divide the gradient by its largest magnitude over the pair (program) instead of using it raw (eq. 6)."""
    clamp: bool = True
    """Keep the pair within its own range of values, taken before each step (program); eq. 6 has no bound."""
    last_map: bool = False
    """Sum the map after the last step as well, T + 1 maps (eq. 4); the program sums T maps."""
    skip: float = 0.0
    """Climb from a feature map inside the network instead of the pixels: the last one whose layers are at most this
    part of the network's multiplications, in [0, 1). They run once per image; 0 climbs the pixels, as the paper does.
    ``step_size`` is then in standard deviations of the pair's values, about 1 for pixels with ImageNet's statistics."""
    stop_change: float = 0.0
    """Stop a pair when one step changes its map by no more than this part of it, in absolute values summed over the
    cells; its last map counts for the steps that are left. With 0 every pair takes all steps."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise SettingsError(
                f"climb.steps must be at least 1, not {self.steps}: plain maps are attribute.method cam"
            )
        if not self.step_size > 0:
            raise SettingsError(f"the climb's step_size must be positive, not {self.step_size}")
        if not self.reg_weight >= 0:
            raise SettingsError(f"the climb's reg_weight must not be negative, and is {self.reg_weight}")
        if self.normalize_mask and not 0 <= self.mask_threshold <= 1:
            raise SettingsError(f"the climb's mask_threshold must be within [0, 1], not {self.mask_threshold}")
        if not 0 <= self.skip < 1:
            raise SettingsError(f"climb.skip is a part of the network, at least 0 and below 1, not {self.skip}")
        if not self.stop_change >= 0:
            raise SettingsError(f"climb.stop_change must not be negative, and is {self.stop_change}")

    @classmethod
    def released(cls) -> ClimbSettings:
        """The authors' program to the last operation."""
        return cls()

    @classmethod
    def paper(cls) -> ClimbSettings:
        """Equations 3 to 7 as printed: one view, signed scores, plain maps, raw gradient, no bound, T + 1 maps."""
        return cls(
            step_size=0.008,
            flip=False,
            relu=False,
            gradcam_scale=False,
            normalize_mask=False,
            normalize_gradient=False,
            clamp=False,
            last_map=True,
        )

    @classmethod
    def localization(cls) -> ClimbSettings:
        """For boxes from softmax classifiers (section 6): the logits themselves, plain signed maps, one view.

        lambda is the paper's 0.01, in the units of its ResNet-50 with cells of 8 pixels. The paper does not say how
        these images were mirrored, scaled and bounded; one view of one size, kept within its own range, is our choice.
        Its step of 0.008 belongs to a raw gradient; with the released program's normalised one 0.08 is taken.
        """
        return cls(reg_weight=0.01, flip=False, relu=False, gradcam_scale=False)

    def adapted_plain_to(self, mapper: NetworkFacts, stride: int) -> ClimbSettings:
        """As ``adapted_to``, for plain maps (``gradcam_scale`` off) and lambda in the units of cells of 8 pixels.

        The regularizer's pull on one cell, relative to the score, is ``lambda h w``, whatever the channels.

        >>> import torch, advcam
        >>> mapper = advcam.ClassMapper(torch.nn.Identity(), torch.ones(20, 1280), mean=(0.5,) * 3, std=(0.5,) * 3)
        >>> advcam.ClimbSettings.localization().adapted_plain_to(mapper, stride=16).reg_weight
        0.04
        """
        return replace(
            self,
            step_size=self._adapted_step(mapper),
            reg_weight=self.reg_weight * (stride / LOCALIZATION_STRIDE) ** 2,
        )

    @classmethod
    def fast(cls) -> ClimbSettings:
        """Few large steps from a feature map, and none for a pair whose map stands still; for the image's own size.

        Our choice, not the paper's: on MobileNetV2 and part of VOC the knee of seed mIoU against cost. Take
        ``attribute.scales`` [1.0] with it, as recipe ``climb_fast`` does.
        """
        return cls(steps=3, step_size=0.4, skip=0.22, stop_change=0.4)

    def adapted_to(self, mapper: NetworkFacts, stride: int) -> ClimbSettings:
        """The same pull and the same step for another network; the authors' values for the authors' network.

        The step is scaled by the width of the input's range, where it is the pixels that climb. The regularizer's
        pull on one cell, relative to the score, is ``lambda h w / K+``: with a head of C channels at output stride s
        it keeps its strength when lambda is multiplied by ``C / 2048`` and ``(s / 16) ** 2`` (``s`` sets h w at a
        given image size).

        >>> import torch, advcam
        >>> mapper = advcam.ClassMapper(torch.nn.Identity(), torch.ones(20, 1024), mean=(0.5,) * 3, std=(0.5,) * 3)
        >>> adapted = advcam.ClimbSettings.released().adapted_to(mapper, stride=16)
        >>> round(adapted.step_size, 4), adapted.reg_weight
        (0.0336, 3.5)
        """
        return replace(
            self,
            step_size=self._adapted_step(mapper),
            reg_weight=self.reg_weight * (mapper.channels / AUTHORS_CHANNELS) * (stride / AUTHORS_STRIDE) ** 2,
        )

    def _adapted_step(self, mapper: NetworkFacts) -> float:
        """The step in this network's input; one in a feature map is relative to its values already."""
        pixels = self.skip == 0 and mapper.layer is None
        return self.step_size * (mapper.input_range / AUTHORS_INPUT_RANGE) if pixels else self.step_size

    def steps_at(self, scale: float) -> int:
        """Steps at one scale: the program halves them at scale 0.5 (13 of 27), or runs 5 for 6 <= T <= 10."""
        if scale != 0.5 or self.steps < 6:
            return self.steps
        return self.steps // 2 if self.steps > 10 else 5

    def scale_weight(self, scales: tuple[float, ...]) -> float:
        """Factor on all maps: 2 where scale 0.5 takes part with halved steps. It matters against 1e-5 only."""
        return 2.0 if 0.5 in scales and self.steps > 10 else 1.0


@dataclass(frozen=True)
class AttributeSettings:
    """How the images of a data set become localization maps."""

    method: Literal["advcam", "cam"] = "advcam"
    """"advcam" climbs, as the climb's settings say; "cam" stops at the class activation map of the unchanged image."""
    scales: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    """Factors on height and width at which an image is mapped; the maps are added (section 5.1, IRN's scales)."""
    adapt: bool = True
    """Bring the climb's step_size and reg_weight, which are given in the units of the authors' network, to those of
    this network (``ClimbSettings.adapted_to``). No effect on the authors' own network."""
    max_side: int = 640
    """Images with a longer side, in pixels, are reduced to it before they are scaled; VOC and COCO have none."""
    batch_pixels: int | None = None
    """Pixels in one batch, mirror images counted; None takes what the free memory has room for, at most 2 ** 19 on a
    CPU and 2 ** 25 on a GPU. It is settled when the maps are begun and kept in the manifest."""
    precision: Literal["32", "tf32", "bf16"] = "32"
    """What the network computes in: "32" single precision, "tf32" convolutions with shorter factors on an NVIDIA GPU,
    "bf16" bfloat16. Pixels, scores and gradients stay in single precision."""

    def __post_init__(self) -> None:
        check_scales(self.scales)
        if self.max_side < 32:
            raise SettingsError(f"attribute.max_side must be at least 32 pixels, not {self.max_side}")
        if self.batch_pixels is not None and self.batch_pixels < 1:
            raise SettingsError(f"attribute.batch_pixels must be positive, not {self.batch_pixels}")


def check_scales(scales: Sequence[float]) -> None:
    """Raise SettingsError unless the scales are different positive numbers, at least one."""
    if not scales or not all(scale > 0 for scale in scales) or len(set(scales)) != len(scales):
        raise SettingsError(f"scales must be different positive numbers, not {list(scales)}")
