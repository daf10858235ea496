"""How things are measured: the sweep over thresholds, and the protocol of weakly supervised object localization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from advcam.bounds import check
from advcam.errors import SettingsError
from advcam.localize.settings import Normalization


@dataclass(frozen=True)
class SweepSettings:
    """Which background thresholds a sweep over ground truth tries. The first and the step are SEAM's, whose
    procedure section 5.2 of the paper follows; the released AdvCAM program tries 0.15 to 0.34 only.
    """

    low: float = 0.0
    """First threshold, in units of maps normalised to [0, 1]."""
    high: float = 0.79
    """Last threshold, included (SEAM: 0.59; the maps of small networks are wider)."""
    step: float = 0.01
    """Distance between two thresholds."""

    def __post_init__(self) -> None:
        if not self.step >= 1e-4 or not 0 <= self.low <= self.high <= 1:
            raise SettingsError(
                f"a sweep needs 0 <= low <= high <= 1 and a step of at least 0.0001, not low={self.low}, "
                f"high={self.high}, step={self.step}"
            )

    @property
    def thresholds(self) -> tuple[float, ...]:
        """All thresholds, ascending, without the rounding errors of repeated addition."""
        count = int((self.high - self.low) / self.step + 1e-6) + 1
        return tuple(round(self.low + index * self.step, 10) for index in range(count))


@dataclass(frozen=True)
class ScoreMapSettings:
    """How a map is read. The defaults are those of wsolevaluation while it trains and evaluates."""

    step: float = 0.001
    """Distance between two CAM thresholds tau; they run from 0 to below 1. The stand-alone program takes 0.01."""
    size: int = 224
    """Height and width, in pixels, to which map and ground truth are brought."""
    normalization: Normalization = "min-max"
    """How the map is brought into [0, 1]."""

    def __post_init__(self) -> None:
        check(self, "box_acc.maps.", step="(0, 1]", size="[1, inf)")
        if self.normalization not in get_args(Normalization):
            raise SettingsError(
                f"normalization must be one of {', '.join(get_args(Normalization))}, not {self.normalization!r}"
            )


@dataclass(frozen=True)
class BoxAccSettings:
    """The protocol of MaxBoxAcc."""

    iou: tuple[int, ...] = (30, 50, 70)
    """Levels delta of intersection over union from which on a box is right, in percent (section 6 of the paper)."""
    maps: ScoreMapSettings = ScoreMapSettings()
    """How the maps are read."""

    def __post_init__(self) -> None:
        check(self, "box_acc.", iou="(0, 100]")
        if not self.iou:
            raise SettingsError("box_acc.iou is empty: name one percentage or more, such as 30, 50, 70")
