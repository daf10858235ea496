"""Settings of the climb. The authors' program and the paper differ; both are here by name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from advcam.errors import SettingsError

# The authors' network: pixels normalised with ImageNet's statistics, 2048 channels into the head, output stride 16.
# lambda and the step size have the meaning of the paper in these units only.
AUTHORS_INPUT_RANGE = (1 - 0.406) / 0.225 + 0.485 / 0.229
AUTHORS_CHANNELS = 2048
AUTHORS_STRIDE = 16
AUTHORS_SIDE = 500.0
# Of their networks for localization: cells of 8 pixels (28 x 28 maps).
LOCALIZATION_STRIDE = 8
LOCALIZATION_SIDE = 224.0


@dataclass(frozen=True)
class Units:
    """What a step size and lambda are measured in for one map of one network."""

    input_range: float = AUTHORS_INPUT_RANGE
    """Width of the network's input space: 4.76 with ImageNet's statistics, 2 for [-1, 1]."""
    channels: int = AUTHORS_CHANNELS
    """How many times smaller a map is than one whose mean is the score. The program's Grad-CAM factor, rho / K+, is
    about 1 / C for a head of C channels; 1 for maps without the factor."""
    stride: int = AUTHORS_STRIDE
    """Pixels of the image per cell of the map."""


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
    signed: bool = False
    """How a ``ClassMapper`` is read: signed class maps and their means (eq. 2 and 3), instead of their positive parts
    and, for the maps, the factor that the program's Grad-CAM comes to (see ``maps.CAM``)."""
    normalize_mask: bool = True
    """Divide the map by its maximum before comparing with tau (program) instead of comparing it raw (eq. 5)."""
    normalize_gradient: bool = True
    """Divide the gradient by its largest magnitude over the pair (program) instead of using it raw (eq. 6)."""
    clamp: bool = True
    """Keep the pair within its own range of values, taken before each step (program); eq. 6 has no bound."""
    last_map: bool = False
    """Sum the map after the last step as well, T + 1 maps (eq. 4); the program sums T maps."""
    aggregate: Literal["sum", "last"] = "sum"
    """"sum" adds the maps of all steps (eq. 4); "last" takes the one of the last step alone (Table 11)."""
    halve_at_half: bool = True
    """At scale 0.5 take 13 of 27 steps, as the program does; equations 3 to 7 know no scales."""
    calibrate: int | None = None
    """Of a run: how many of its images ``step_size`` and ``reg_weight`` are chosen on, by their labels alone, so that
    cells grow as in the paper's Fig. 2 (``analyse.calibration``); None takes both as they are."""
    unit_range: float = AUTHORS_INPUT_RANGE
    """Width of the network input in which ``step_size`` is given; see ``adapted``."""
    unit_channels: int = AUTHORS_CHANNELS
    """Channels of the head in whose maps ``reg_weight`` is given, 1 for maps without the Grad-CAM factor."""
    unit_stride: int = AUTHORS_STRIDE
    """Pixels per cell of the map in which ``reg_weight`` is given."""
    unit_side: float = AUTHORS_SIDE
    """Longer side, in pixels, of the images on whose grid ``reg_weight`` is given: about 500 in VOC."""
    follow_side: bool = False
    """Bring ``reg_weight`` to the size of each image, see ``weight_for``. The program has one for all; ``adapted``
    switches it on."""

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 10_000:
            raise SettingsError(
                f"climb.steps must be from 1 to 10,000, not {self.steps}: plain maps are attribute.method cam"
            )
        if not 0 < self.step_size <= 1e6:
            raise SettingsError(f"climb.step_size must be above 0 and at most 1e6, not {self.step_size}")
        if self.calibrate is not None and self.calibrate < 1:
            raise SettingsError(f"climb.calibrate must be at least 1 image, or null, not {self.calibrate}")
        if not 0 <= self.reg_weight <= 1e9:
            raise SettingsError(f"climb.reg_weight must be from 0 to 1e9, not {self.reg_weight}")
        if self.normalize_mask and not 0 <= self.mask_threshold <= 1:
            raise SettingsError(f"the climb's mask_threshold must be within [0, 1], not {self.mask_threshold}")
        if not min(self.unit_range, self.unit_channels, self.unit_stride, self.unit_side) > 0:
            raise SettingsError("climb.unit_range, unit_channels, unit_stride and unit_side must be positive")

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
            signed=True,
            normalize_mask=False,
            normalize_gradient=False,
            clamp=False,
            last_map=True,
            halve_at_half=False,
            unit_channels=1,
        )

    @classmethod
    def localization(cls) -> ClimbSettings:
        """For boxes from softmax classifiers (section 6): the logits themselves, plain signed maps, one view.

        lambda is the paper's 0.01, in the units of its ResNet-50 with cells of 8 pixels. The paper does not say how
        these images were mirrored, scaled and bounded; one view of one size, kept within its own range, is our choice.
        Its step of 0.008 belongs to a raw gradient; with the released program's normalised one 0.08 is taken.
        """
        return cls(
            reg_weight=0.01,
            flip=False,
            signed=True,
            unit_channels=1,
            unit_stride=LOCALIZATION_STRIDE,
            unit_side=LOCALIZATION_SIDE,
        )

    @property
    def maps(self) -> int:
        """How many maps are made: the last update is not mapped unless ``last_map`` says so."""
        return self.steps + self.last_map

    def steps_at(self, scale: float) -> int:
        """Steps at one scale: the program halves them at scale 0.5 (13 of 27), or runs 5 for 6 <= T <= 10."""
        if scale != 0.5 or self.steps < 6 or not self.halve_at_half:
            return self.steps
        return self.steps // 2 if self.steps > 10 else 5

    def weight_for(self, height: int, width: int) -> float:
        """lambda for an image of this size, mapped as it is.

        lambda weighs a sum over cells against a score that is a mean over them, so its pull grows with the grid. With
        ``follow_side`` it keeps the pull of an image of ``unit_side``, in whole powers of two, rounded towards none:
        images between 0.71 and 1.41 times that size climb as the program has it.

        >>> from dataclasses import replace
        >>> small = replace(ClimbSettings.released(), follow_side=True)
        >>> small.weight_for(375, 500), small.weight_for(192, 240), ClimbSettings.released().weight_for(192, 240)
        (7.0, 28.0, 7.0)
        """
        if not self.follow_side:
            return self.reg_weight
        return self.reg_weight * 2.0 ** int(2 * math.log2(self.unit_side / max(height, width)))

    def scale_weight(self, scales: tuple[float, ...]) -> float:
        """Factor on all maps: 2 where scale 0.5 takes part with halved steps. It matters against 1e-5 only."""
        return 2.0 if self.halve_at_half and 0.5 in scales and self.steps > 10 else 1.0


def adapted(settings: ClimbSettings, units: Units) -> ClimbSettings:
    """The same climb for another network: the same function in other units of its input or map gives the same maps.

    A step along the normalised gradient is a change of pixels, so it grows with the width of the input; one along the
    raw gradient, which shrinks as the input widens, grows with its square. lambda weighs a sum over cells against a
    mean: with cells of s pixels it keeps its pull when it is multiplied by ``s ** 2``, and where maps are divided by
    the width of the head, by that width. ``follow_side`` does the same for the size of the images.

    >>> found = adapted(ClimbSettings.released(), Units(input_range=2.0, channels=1024, stride=16))
    >>> round(found.step_size, 4), found.reg_weight
    (0.0336, 3.5)
    >>> adapted(ClimbSettings.localization(), Units(2.0, channels=1, stride=16)).reg_weight
    0.04
    """
    wider = units.input_range / settings.unit_range
    return replace(
        settings,
        step_size=settings.step_size * (wider if settings.normalize_gradient else wider**2),
        reg_weight=settings.reg_weight
        * (units.channels / settings.unit_channels)
        * (units.stride / settings.unit_stride) ** 2,
        unit_range=units.input_range,
        unit_channels=units.channels,
        unit_stride=units.stride,
        follow_side=True,
    )


@dataclass(frozen=True)
class AttributeSettings:
    """How the images of a data set become localization maps."""

    method: Literal["advcam", "cam"] = "advcam"
    """"advcam" climbs, as the climb's settings say; "cam" stops at the map of the unchanged image."""
    map: Literal["cam", "gradcam", "gradcam_pp", "layercam", "tokens", "seam", "sub_categories", "acol"] = "cam"
    """What is mapped, climbed or not: "cam", class activation maps; "gradcam", "gradcam_pp" and "layercam", channels
    of any layer weighed by the score's gradient; "tokens", Grad-CAM of a transformer's tokens; "seam",
    "sub_categories" and "acol", of classifiers trained so. Each has folders of its own: ``gradcam_pp`` and, climbed,
    ``advcam_gradcam_pp``."""
    layer: tuple[str, ...] = ()
    """Of the maps by gradient: names of the classifier's layers, such as layer3; several are fused. None named: its
    last feature map; of "tokens" the last layer on whose patches the scores depend."""
    scales: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    """Factors on height and width at which an image is mapped; the maps are added (section 5.1, IRN's scales)."""
    adapt: bool = True
    """Bring the climb's step_size and reg_weight, which are given in the units of the authors' network, to those of
    this network (``adapted``). No effect on the authors' own network."""
    max_side: int = 640
    """Images with a longer side, in pixels, are reduced to it before they are scaled; VOC and COCO have none."""
    window: int = 0
    """Images with a longer side than this, in pixels, are mapped at their own size in overlapping windows of it, their
    maps averaged before each is divided by its maximum over the whole image; 0: such images are reduced."""
    guide: str | None = None
    """Folder of a second classifier of the same classes. All maps, climbed and plain, are joined with its plain ones
    by their geometric mean: one network that sees much says which object is meant, one that sees little, and climbs,
    how far it reaches (``guided``)."""
    guide_scales: tuple[float, ...] = (1.0,)
    """Factors on height and width at which the guide looks at an image."""
    batch_pixels: int | None = None
    """Pixels in one batch, mirror images counted; None takes what the free memory has room for, at most 2 ** 19 on a
    CPU and 2 ** 25 on a GPU. It is settled when the maps are begun and kept in the manifest."""
    precision: Literal["32", "tf32", "bf16"] = "32"
    """What the network computes in: "32" single precision, "tf32" convolutions with shorter factors on an NVIDIA GPU,
    "bf16" bfloat16. Pixels, scores and gradients stay in single precision."""

    @property
    def kind(self) -> str:
        """The folder of the maps, climbed or not."""
        return kind_of(self.method, self.map)

    def __post_init__(self) -> None:
        check_scales(self.scales)
        check_scales(self.guide_scales, "guide_scales")
        if self.guide is not None and self.window:
            raise SettingsError("attribute.guide looks at whole images: leave it or attribute.window out")
        if self.max_side < 32:
            raise SettingsError(f"attribute.max_side must be at least 32 pixels, not {self.max_side}")
        if self.window != 0 and self.window < 64:
            raise SettingsError(f"attribute.window must be 0 or at least 64 pixels, not {self.window}")
        if self.batch_pixels is not None and self.batch_pixels < 1:
            raise SettingsError(f"attribute.batch_pixels must be positive, not {self.batch_pixels}")


def kind_of(method: str, map_: str) -> str:
    """The folder of maps, and what masks from them are called.

    >>> kind_of("cam", "cam"), kind_of("advcam", "cam"), kind_of("cam", "layercam"), kind_of("advcam", "layercam")
    ('cam', 'advcam', 'layercam', 'advcam_layercam')
    """
    return map_ if method == "cam" else "advcam" if map_ == "cam" else f"advcam_{map_}"


def climbs(kind: str) -> bool:
    """Whether maps of a kind grow over steps, so that the settings of the climb matter to them."""
    return kind.startswith("advcam")


def plain_kind(kind: str) -> str:
    """The kind that one is compared with: the same map of the unchanged images.

    >>> plain_kind("advcam"), plain_kind("advcam_layercam"), plain_kind("cam")
    ('cam', 'layercam', 'cam')
    """
    return "cam" if kind == "advcam" else kind.removeprefix("advcam_")


def check_scales(scales: Sequence[float], name: str = "scales") -> None:
    """Raise SettingsError unless the scales are different positive numbers, at least one."""
    if not scales or not all(0 < scale <= 16 for scale in scales) or len(set(scales)) != len(scales):
        raise SettingsError(f"{name} must be different numbers above 0 and at most 16, not {list(scales)}")
