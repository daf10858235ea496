"""Choices about maps and boxes that a settings file can hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from advcam.bounds import check
from advcam.errors import SettingsError

Mode = Literal["all", "largest"]
"""Which contours of a mask become boxes: every one (MaxBoxAccV2), or the largest alone (MaxBoxAcc, V1)."""

Normalization = Literal["min-max", "max", "pas", "ivr", "none"]
"""How a map is brought into [0, 1]; ``advcam.localize.normalize`` says what each does. "none": it is there already."""


@dataclass(frozen=True)
class LocalizeSettings:
    """How the objects of a class are found on its map: boxes for users, not those of the benchmark."""

    in_run: bool = False
    """``advcam run`` makes boxes as well as masks; ``advcam localize`` always does."""
    threshold: float | Literal["auto", "swept"] = "auto"
    """tau in [0, 1): object is what exceeds this share of the map's maximum (0.2 in the paper that introduced class
    activation maps). "auto": for every map by itself, Otsu's cut between its low and its high values, without ground
    truth. "swept": the one with the best box F1 on the ground-truth boxes of ``splits.tune``."""
    normalization: Normalization = "max"
    """How the map is brought into [0, 1] first."""
    min_area: float = 0.1
    """Components with fewer pixels than this share of the largest one's are no objects, in [0, 1]."""
    merge: float | None = 0.5
    """Boxes of one class of which one lies in the other by at least this share of the smaller one's area, in (0, 1],
    become one box around both. None: never."""
    max_objects: int | None = None
    """At most this many per image and class, those with the highest scores; None: all."""
    overlays: bool = True
    """Write the images with their boxes, into ``box_overlays``, to look through."""

    def __post_init__(self) -> None:
        check(self, "localize.", threshold="[0, 1)", min_area="[0, 1]", merge="(0, 1]", max_objects="[1, inf)")
        if self.normalization not in get_args(Normalization):
            raise SettingsError(
                f"localize.normalization must be one of {', '.join(get_args(Normalization))}, "
                f"not {self.normalization!r}"
            )
