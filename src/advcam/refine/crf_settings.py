"""The settings of the dense CRF. Kept apart so that reading them does not load torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from advcam.errors import SettingsError


@dataclass(frozen=True)
class CRFSettings:
    """Kernels and iterations of ``advcam.refine.dense_crf``; the defaults are those of ``irn()``.

    The parameter sets of the field are ``irn()``, ``psa()`` and ``deeplab()``.

    Raises:
        SettingsError: a negative or infinite weight, a standard deviation that is not positive, or a negative number
            of iterations.

    >>> CRFSettings.deeplab().bilateral_sxy
    67.0
    """

    iterations: int = 10
    """Mean-field iterations; 0 gives the softmax of the negative unary energies."""
    gaussian_sxy: float = 3.0
    """Standard deviation of the smoothness kernel in position, in pixels."""
    gaussian_weight: float = 3.0
    """Weight of the smoothness kernel; 0 leaves it out."""
    bilateral_sxy: float = 50.0
    """Standard deviation of the appearance kernel in position, in pixels."""
    bilateral_srgb: float = 5.0
    """Standard deviation of the appearance kernel in colour, in levels of 0-255."""
    bilateral_weight: float = 10.0
    """Weight of the appearance kernel; 0 leaves it out."""

    def __post_init__(self) -> None:
        if self.iterations < 0:
            raise SettingsError(f"the CRF's iterations must be 0 or more, not {self.iterations}")
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            is_weight = field.name.endswith("_weight")
            if not math.isfinite(value) or value < 0 or (value == 0 and not is_weight):
                bound = "0 or more" if is_weight else "above 0"
                raise SettingsError(f"the CRF's {field.name} must be a number {bound}, not {value}")

    @classmethod
    def irn(cls) -> CRFSettings:
        """IRN's and AdvCAM's label generation; made for ``unary_from_labels``."""
        return cls()

    @classmethod
    def psa(cls) -> CRFSettings:
        """The soft CRF of PSA, SC-CAM, SEAM and EPS; made for ``unary_from_scores``."""
        return cls(bilateral_sxy=80.0, bilateral_srgb=13.0)

    @classmethod
    def deeplab(cls) -> CRFSettings:
        """DeepLab-v2 at test time; made for ``unary_from_scores`` of a softmax."""
        return cls(gaussian_sxy=1.0, bilateral_sxy=67.0, bilateral_srgb=3.0, bilateral_weight=4.0)
