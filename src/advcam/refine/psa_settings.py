"""The settings of PSA. Kept apart so that reading them does not load torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

from advcam.errors import SettingsError
from advcam.refine.settings import CRFSettings
from advcam.training.settings import FitSettings

# Pixels per cell of AffinityNet's features.
STRIDE = 8


@dataclass(frozen=True)
class PSASettings(FitSettings):
    """PSA from localization maps to masks: labels, the training of AffinityNet, the random walk.

    The defaults are those of PSA's program with ResNet-38.
    """

    section: ClassVar[str] = "psa."

    epochs: int = 8
    """Passes over the images."""
    batch_size: int = 8
    """Images per update."""
    lr: float = 0.1
    """Learning rate of the backbone before its decay; SEAM takes 0.01."""
    weight_decay: float = 5e-4
    """Of all parameters that learn."""
    momentum: float = 5e-4
    """The program hands the weight decay to the parameter that means the momentum, so there is practically none."""
    head_lr_factor: float = 10.0
    """Learning rate of the layers that are new, as a multiple of ``lr``."""

    architecture: str | None = "resnet38"
    """The network below AffinityNet, by a name as in ``backbone.architecture``; None takes the run's trained
    classifier, its weights included."""
    weights: str | None = "default"
    """Its weights, as in ``backbone.weights``. They are not in a library for ``resnet38``: name a file."""
    output_stride: int | None = None
    """Its pixels per cell, as in ``backbone.output_stride``. AffinityNet's own grid has one cell for 8 pixels."""
    mean: tuple[float, ...] | None = None
    """Of its input, as in ``backbone.mean``."""
    std: tuple[float, ...] | None = None
    """Of its input, as in ``backbone.std``."""
    freeze: str | None = "auto"
    """The part up to which nothing learns, as in ``classify.freeze``; "auto" takes PSA's for ``resnet38``, ``b2_2``,
    and lets all of any other network learn. Batch norms never learn."""
    trained: str | None = None
    """An AffinityNet to use instead of training one: its folder, or a weights file of PSA's program."""
    train_split: str | None = None
    """The list whose maps are learned from, one of ``splits.maps``; None takes all images that get masks."""

    alpha_low: float = 4.0
    """The background ``(1 - max of the maps) ^ alpha`` of labels in which foreground is sure."""
    alpha_high: float = 32.0
    """The same where background is sure; the paper's figures with 24 are lower."""
    margin: float | None = None
    """A number chooses all three alphas by the threshold t of ``seed``: background and map are then equal at t in the
    walk, and at t + margin and t - margin in the labels. For maps that are wider or narrower than PSA's."""
    crf: CRFSettings = field(default_factory=CRFSettings.psa)
    """The dense CRF of the labels and, where ``final_crf`` asks for it, of the masks."""
    crop: int = 448
    """Side in pixels of a training image's random crop, a multiple of 8; black where the image ends."""
    jitter: tuple[float, float, float, float] = (0.3, 0.3, 0.3, 0.1)
    """Largest change of brightness, contrast and saturation, as a factor, and of hue, as part of the circle."""
    flip: bool = True
    """Mirror every second training image, on average."""
    radius: int = 5
    """Longest link between two cells, in cells, in training and in the walk."""

    alpha: float = 16.0
    """Exponent of the background that walks with the maps; SEAM takes 6."""
    beta: float = 8.0
    """Exponent of the affinities: the larger, the less unlike cells exchange."""
    log_times: int = 8
    """The walk takes ``2 ^ log_times`` steps; SEAM takes 6."""
    all_pairs: bool = False
    """Whether cells near the left, right and lower rim have all their links; in PSA's program they have not."""
    final_crf: bool = False
    """Refine the walked scores by the dense CRF."""

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [name for name in ("output_stride", "mean", "std") if getattr(self, name) is not None]
        given += ["weights"] if self.weights != "default" else []
        if self.architecture is None and given:
            raise SettingsError(
                f"psa.{given[0]} is set, but without psa.architecture the network is the run's classifier as it was "
                "trained: name an architecture, or leave it out"
            )
        self.check(
            **dict.fromkeys(("head_lr_factor", "alpha_low", "alpha_high", "alpha", "beta"), "(0, inf)"),
            **dict.fromkeys(("log_times", "jitter"), "[0, inf)"),
            margin="[0, 0.5)",
            radius="[2, inf)",
        )
        if self.alpha_low > self.alpha_high:
            raise SettingsError(
                f"psa.alpha_low is {self.alpha_low:g}, above psa.alpha_high, {self.alpha_high:g}: the low one must "
                "leave more background"
            )
        if self.crop % STRIDE or self.crop // STRIDE < 2 * self.radius - 1:
            raise SettingsError(
                f"psa.crop must be a multiple of {STRIDE} pixels and, for a radius of {self.radius} cells, at least "
                f"{STRIDE * (2 * self.radius - 1)}, not {self.crop}"
            )
        if self.jitter[3] > 0.5:
            raise self.wrong("jitter", "the last of its four numbers must be at most 0.5")

    def at_threshold(self, threshold: float) -> PSASettings:
        """These settings, with the alphas that ``margin`` chooses for a background threshold; unchanged without it.

        >>> chosen = PSASettings(margin=0.1).at_threshold(0.3)
        >>> [round(alpha, 2) for alpha in (chosen.alpha_low, chosen.alpha, chosen.alpha_high)]
        [1.79, 3.38, 7.21]
        """
        if self.margin is None:
            return self
        low, middle, high = (alpha_at(threshold + shift) for shift in (self.margin, 0, -self.margin))
        return replace(self, alpha_low=low, alpha=middle, alpha_high=high)


def alpha_at(threshold: float) -> float:
    """The exponent with which the background ``(1 - m)^alpha`` of a map of value m is equal to it at the threshold.

    Thresholds are brought into [0.02, 0.98].

    >>> alpha_at(0.5)
    1.0
    """
    inside = min(max(threshold, 0.02), 0.98)
    return math.log(inside) / math.log1p(-inside)
