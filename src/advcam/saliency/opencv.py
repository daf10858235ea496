"""Detectors that need no training, from OpenCV's contributed modules: the extra ``saliency``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from advcam.errors import SettingsError
from advcam.models.ranges import min_max

CLASSES = {
    "fine_grained": "StaticSaliencyFineGrained",
    "spectral_residual": "StaticSaliencySpectralResidual",
}


class OpenCVDetector:
    """Saliency from contrast: centre against surround (Montabone and Soto 2010), or what the spectrum's smooth part
    does not explain (Hou and Zhang 2007). Both find edges and texture rather than whole objects.

    Raises:
        SettingsError: OpenCV's contributed modules are not installed.
    """

    batch_size: ClassVar[int] = 1

    def __init__(self, method: str) -> None:
        try:
            self._detector: Any = getattr(import_module("cv2").saliency, f"{CLASSES[method]}_create")()
        except (ImportError, AttributeError):
            raise SettingsError(
                f"saliency.source {method} needs OpenCV's contributed modules, which are not installed: "
                "pip install 'advcam[saliency]' (without any other opencv package beside it)"
            ) from None

    def __call__(
        self, ids: Sequence[str], images: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    ) -> list[Float32[np.ndarray, "_ _"] | None]:
        """The maps of the pictures, each from its minimum to its maximum brought to [0, 1]."""
        return [self._map(image) for image in images]

    def _map(self, image: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W"]:
        # A picture of one colour has no contrast; the spectrum's rounding noise would be scaled up to an object.
        if (image == image[0, 0]).all():
            return np.zeros(image.shape[:2], np.float32)
        done, found = self._detector.computeSaliency(np.ascontiguousarray(image[..., ::-1]))
        saliency = np.asarray(found, dtype=np.float32)
        if not done or not np.isfinite(saliency).all():
            return np.zeros(image.shape[:2], np.float32)
        return min_max(torch.from_numpy(saliency)).numpy()
