"""Maps of one picture at several sizes and their fusion, as the authors do (segmentation facts 1.5 and 2.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Integer
from PIL import Image
from torch import Tensor

from advcam.attribute.climb import as_climbable, check_saliency, climb_pairs
from advcam.attribute.grid import high_res
from advcam.attribute.inputs import PictureMap, to_input
from advcam.attribute.pairs import as_classes
from advcam.attribute.settings import AttributeSettings, ClimbSettings, check_scales
from advcam.data.pixels import as_pixels
from advcam.data.transforms import scale_image
from advcam.models.mapper import ClassMapper


def localization_maps(
    mapper: ClassMapper | PictureMap,
    image: Image.Image | np.ndarray | Tensor,
    classes: Integer[Tensor, " k"] | np.ndarray | Sequence[int],
    settings: ClimbSettings | None = None,
    scales: Sequence[float] = AttributeSettings.scales,
    *,
    saliency: Float[Tensor, "H W"] | None = None,
) -> Float[Tensor, "k H W"]:
    """AdvCAM localization maps of one picture: climbed at every scale, added, each divided by its maximum (eq. 4).

    Args:
        mapper: the classifier, or another map that can be climbed; its device and dtype are used.
        image: the picture, opened by Pillow or as an array with height and width first (see ``as_pixels``).
        classes: the classes known to be in it.
        settings: ``ClimbSettings.released()`` unless told.
        scales: sizes at which it is climbed, as factors.
        saliency: the picture's salient-object map in [0, 1]; where it is background, maps are held at every scale
            and for every class (region D of section 4.4).

    Returns:
        One map per class in [0, 1], of the picture's size. A class not seen anywhere has a map of zeros.

    Raises:
        SettingsError: scales, classes or a saliency map that do not fit.

    >>> import numpy as np, torch, advcam
    >>> mapper = advcam.ClassMapper(torch.nn.Conv2d(3, 8, 3, stride=4, padding=1), torch.randn(5, 8))
    >>> advcam.localization_maps(mapper, np.zeros((32, 48, 3), np.uint8), [0, 3], scales=(1.0,)).shape
    torch.Size([2, 32, 48])
    """
    settings = settings or ClimbSettings.released()
    check_scales(scales)
    network = as_climbable(mapper, settings)
    pixels = as_pixels(image, len(network.mean))
    targets = as_classes(classes, network.device)
    held_NHW = None
    if saliency is not None:
        check_saliency(saliency, pixels.shape[:2])
        held_NHW = saliency.to(network.device, network.dtype)[None].expand(len(targets), -1, -1)
    raw = []
    for scale in scales:
        view_N3HW = to_input(scale_image(pixels, scale), network).expand(len(targets), -1, -1, -1)
        climbed = climb_pairs(network, view_N3HW, targets, at_scale(settings, scale), saliency=held_NHW)
        raw.append(settings.scale_weight(tuple(scales)) * climbed.maps)
    return high_res(raw, pixels.shape[:2])


def at_scale(settings: ClimbSettings, scale: float) -> ClimbSettings:
    """The settings with the number of steps that this scale gets, and its grid as the measure of lambda."""
    return replace(settings, steps=settings.steps_at(scale), unit_side=settings.unit_side * scale)
