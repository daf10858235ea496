"""Settings of pixel-adaptive refinement. Kept apart so that reading them does not load torch."""

from __future__ import annotations

from dataclasses import dataclass

from advcam.errors import SettingsError


@dataclass(frozen=True)
class PAMRSettings:
    """Iterations and reach of ``pamr``; the defaults are the paper's.

    >>> PAMRSettings(dilations=(1, 2)).iterations
    10
    """

    iterations: int = 10
    """How often every pixel takes the mean of its neighbours; 0 changes nothing."""
    dilations: tuple[int, ...] = (1, 2, 4, 8, 12, 24)
    """Distances in pixels of the eight neighbours; all of them count at once."""
    width: float = 0.1
    """How unlike a neighbour may be, in standard deviations of the colours around the pixel."""

    def __post_init__(self) -> None:
        if self.iterations < 0:
            raise SettingsError(f"pamr.iterations must be 0 or more, not {self.iterations}")
        if not self.dilations or min(self.dilations) < 1:
            raise SettingsError(f"pamr.dilations must be whole numbers from 1, not {list(self.dilations)}")
        if self.width <= 0:
            raise SettingsError(f"pamr.width must be above 0, not {self.width}")
