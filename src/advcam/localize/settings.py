"""Choices about maps and boxes that a settings file can hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from advcam.errors import SettingsError

Mode = Literal["all", "largest"]
"""Which contours of a mask become boxes: every one (MaxBoxAccV2), or the largest alone (MaxBoxAcc, V1)."""

Normalization = Literal["min-max", "max", "pas", "ivr", "none"]
"""How a map is brought into [0, 1]; ``advcam.localize.normalize`` says what each does. "none": it is there already."""


@dataclass(frozen=True)
class ObjectSettings:
    """How the objects of a class are found on its map when there is no ground truth.

    >>> ObjectSettings(threshold=0.2).min_area
    0.1
    """

    threshold: float | None = None
    """tau in [0, 1): object is what exceeds this share of the map's maximum (0.2 in the paper that introduced class
    activation maps). None: what exceeds the map's own mean."""
    min_area: float = 0.1
    """Components with fewer pixels than this share of the largest one's are no objects, in [0, 1]."""
    max_objects: int | None = None
    """At most this many, those with the highest scores; None: all."""
    normalization: Normalization = "min-max"
    """How the map is brought into [0, 1] first."""

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold < 1:
            raise SettingsError(f"threshold must be in [0, 1) or none, not {self.threshold}")
        if not 0 <= self.min_area <= 1:
            raise SettingsError(f"min_area must be in [0, 1], not {self.min_area}")
        if self.max_objects is not None and self.max_objects < 1:
            raise SettingsError(f"max_objects must be at least 1 or none, not {self.max_objects}")
        if self.normalization not in get_args(Normalization):
            raise SettingsError(
                f"normalization must be one of {', '.join(get_args(Normalization))}, not {self.normalization!r}"
            )
