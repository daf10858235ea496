"""Settings of the seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from advcam.errors import SettingsError


@dataclass(frozen=True)
class SeedSettings:
    """At which values of a localization map (normalised to [0, 1]) background ends and foreground begins.

    No default here was chosen on the ground truth of the images at hand. What others use: IRN 0.15 for plain CAM,
    SC-CAM 0.15, EPS and PSA 0.20, SEAM 0.26; the released AdvCAM program reports the best of 0.15 to 0.34 on ground
    truth, its authors name 0.30 or 0.35 for the masks that go on to a CRF.

    >>> SeedSettings().threshold, SeedSettings(threshold="auto").threshold
    (0.3, 'auto')
    """

    threshold: float | Literal["auto", "regions", "stability", "swept"] = 0.3
    """Background threshold: a pixel whose highest map is not above it is background. "auto": chosen from the maps of
    the whole data set without ground truth (``advcam.refine.threshold``). "regions", "stability": the one at which the
    seeds agree best with superpixels, or change least (``advcam.refine.agreement``), without ground truth too.
    "swept": the best one on the ground truth
    of ``splits.tune``, and every figure says so."""
    confident_foreground: float = 0.35
    """Threshold of the seed whose foreground is trusted (IRN's rule; 0.35 in the AdvCAM program, 0.30 in IRN's)."""
    confident_background: float = 0.15
    """Threshold of the seed whose background is trusted (IRN's rule; 0.15 in the AdvCAM program, 0.05 in IRN's)."""

    def __post_init__(self) -> None:
        if not isinstance(self.threshold, str) and not 0 <= self.threshold <= 1:
            raise SettingsError(
                f"seed.threshold must lie in [0, 1], or be auto, regions, stability or swept, and is {self.threshold}"
            )
        if not 0 <= self.confident_background <= self.confident_foreground <= 1:
            raise SettingsError(
                f"the seed needs 0 <= confident_background <= confident_foreground <= 1, and has "
                f"{self.confident_background} and {self.confident_foreground}"
            )
