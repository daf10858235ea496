"""The protocol of weakly supervised object localization: how maps are read, and when a box is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from advcam.errors import SettingsError
from advcam.localize.settings import Normalization


@dataclass(frozen=True)
class ScoreMapSettings:
    """How a map is read. The defaults are those of wsolevaluation while it trains and evaluates.

    >>> ScoreMapSettings(step=0.01).size
    224
    """

    step: float = 0.001
    """Distance between two CAM thresholds tau; they run from 0 to below 1. The stand-alone program takes 0.01."""
    size: int = 224
    """Height and width, in pixels, to which map and ground truth are brought."""
    normalization: Normalization = "min-max"
    """How the map is brought into [0, 1]."""

    def __post_init__(self) -> None:
        if not 0 < self.step <= 1:
            raise SettingsError(f"step must be above 0 and at most 1, not {self.step}")
        if self.size < 1:
            raise SettingsError(f"size must be at least 1 pixel, not {self.size}")
        if self.normalization not in get_args(Normalization):
            raise SettingsError(
                f"normalization must be one of {', '.join(get_args(Normalization))}, not {self.normalization!r}"
            )


@dataclass(frozen=True)
class BoxAccSettings:
    """The protocol of MaxBoxAcc.

    >>> BoxAccSettings(iou=(50,)).maps.step
    0.001
    """

    iou: tuple[int, ...] = (30, 50, 70)
    """Levels delta of intersection over union from which on a box is right, in percent (section 6 of the paper)."""
    maps: ScoreMapSettings = ScoreMapSettings()
    """How the maps are read."""

    def __post_init__(self) -> None:
        if not self.iou or any(not 0 < level <= 100 for level in self.iou):
            raise SettingsError(f"iou must list percentages above 0 and up to 100, such as 30, 50, 70, not {self.iou}")
