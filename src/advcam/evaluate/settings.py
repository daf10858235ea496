"""Settings of the evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from advcam.errors import SettingsError


@dataclass(frozen=True)
class SweepSettings:
    """Which background thresholds a sweep over ground truth tries. The first and the step are SEAM's, whose
    procedure section 5.2 of the paper follows; the released AdvCAM program tries 0.15 to 0.34 only.

    >>> SweepSettings(low=0.15, high=0.34).thresholds[:3]
    (0.15, 0.16, 0.17)
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
