"""Regions without weights: superpixels of scikit-image, at several scales."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from advcam.errors import SettingsError
from advcam.refine.settings import RegionSettings


def superpixels(image: UInt8[np.ndarray, "H W 3"], settings: RegionSettings | None = None) -> Int64[Tensor, "s H W"]:
    """One partition of the picture per scale, regions numbered from 1.

    "felzenszwalb": the graph of Felzenszwalb and Huttenlocher (2004); a scale is its ``scale``, the larger the larger
    the regions. "slic": k-means in position and colour of Achanta et al. (2012); a scale is how many regions.

    >>> image = np.zeros((20, 30, 3), np.uint8)
    >>> image[:, 15:] = 255
    >>> superpixels(image, RegionSettings(scales=(50.0,), sigma=0.0))[0, 3, 12:18].tolist()
    [1, 1, 1, 2, 2, 2]
    """
    settings = settings or RegionSettings()
    try:
        from skimage.segmentation import felzenszwalb, slic
    except ImportError as error:
        raise SettingsError("superpixels need scikit-image: pip install 'advcam[regions]'") from error
    if settings.source == "felzenszwalb":
        parts = [
            1 + felzenszwalb(image, scale=scale, sigma=settings.sigma, min_size=settings.min_size)
            for scale in settings.scales
        ]
    elif settings.source == "slic":
        parts = [
            slic(image, n_segments=round(scale), compactness=settings.compactness, sigma=settings.sigma, start_label=1)
            for scale in settings.scales
        ]
    else:
        raise SettingsError(f"superpixels are felzenszwalb or slic, not {settings.source}")
    return torch.from_numpy(np.stack(parts).astype(np.int64))
