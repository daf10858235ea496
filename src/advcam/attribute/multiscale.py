"""Maps at several image sizes and their fusion, as the authors do (segmentation facts 1.5 and 2.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from advcam.attribute.climb import check_saliency, climb_pairs
from advcam.attribute.settings import AttributeSettings, ClimbSettings, check_scales
from advcam.data.transforms import normalize, scale_image
from advcam.models.mapper import ClassMapper
from advcam.models.split import skipping

# The program's guard in the division by the maximum.
EPS = 1e-5
# Maps are kept on every fourth pixel, and full-size ones are made on a multiple of 16 and cropped.
STORED_STRIDE = 4
FULL_STRIDE = 16


def localization_maps(
    mapper: ClassMapper,
    image: Image.Image | UInt8[Tensor, "H W 3"] | UInt8[np.ndarray, "H W 3"],
    classes: Int[Tensor, " k"] | Sequence[int],
    settings: ClimbSettings | None = None,
    scales: Sequence[float] = AttributeSettings.scales,
    *,
    saliency: Float[Tensor, "H W"] | None = None,
) -> Float[Tensor, "k H W"]:
    """AdvCAM localization maps of one picture: climbed at every scale, added, each divided by its maximum (eq. 4).

    Args:
        mapper: the classifier; its device and dtype are used.
        image: the RGB picture.
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
    mapper = skipping(mapper, settings.skip)
    check_scales(scales)
    pixels = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image)
    targets = torch.as_tensor(classes, dtype=torch.long, device=mapper.device)
    held_NHW = None
    if saliency is not None:
        check_saliency(saliency, pixels.shape[:2])
        held_NHW = saliency.to(mapper.device, mapper.dtype)[None]
    raw = []
    for scale in scales:
        view_3HW = to_input(scale_image(pixels, scale), mapper)
        one = [0] * len(targets)
        climbed = climb_pairs(mapper, view_3HW[None], targets, at_scale(settings, scale), owners=one, saliency=held_NHW)
        raw.append(settings.scale_weight(tuple(scales)) * climbed.maps)
    return fuse_full(raw, pixels.shape[:2])


def to_input(image: UInt8[np.ndarray, "H W 3"], mapper: ClassMapper) -> Float[Tensor, "3 H W"]:
    """A picture in the network's input space, on its device and in its dtype."""
    pixels_3HW = torch.from_numpy(normalize(image, mapper.mean, mapper.std))
    return pixels_3HW.to(mapper.device, mapper.dtype)


def to_inputs(images: Sequence[UInt8[np.ndarray, "H W 3"]], mapper: ClassMapper) -> Float[Tensor, "n 3 H W"]:
    """Pictures of one size in the network's input space. A GPU is sent their bytes and normalises them itself."""
    if mapper.device.type == "cpu":
        return torch.stack([to_input(image, mapper) for image in images])
    pixels_NHW3 = torch.from_numpy(np.stack(images)).pin_memory().to(mapper.device, non_blocking=True)
    return normalize_bytes(pixels_NHW3, mapper)


def normalize_bytes(pixels_NHW3: UInt8[Tensor, "n H W 3"], mapper: ClassMapper) -> Float[Tensor, "n 3 H W"]:
    """``normalize`` on the device where the pixels are: computed in double and rounded to float32, equal to the bit."""
    mean, std = (
        torch.tensor(value, dtype=torch.float64, device=pixels_NHW3.device) for value in (mapper.mean, mapper.std)
    )
    return ((pixels_NHW3.double() / 255 - mean) / std).float().to(mapper.dtype).permute(0, 3, 1, 2)


def at_scale(settings: ClimbSettings, scale: float) -> ClimbSettings:
    """The settings with the number of steps that this scale gets."""
    return replace(settings, steps=settings.steps_at(scale))


def stored_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the stored maps of a picture: every fourth pixel."""
    return (size[0] - 1) // STORED_STRIDE + 1, (size[1] - 1) // STORED_STRIDE + 1


def fuse_stored(raw: Sequence[Float[Tensor, "n _ _"]], size: tuple[int, int]) -> Float[Tensor, "n h4 w4"]:
    """Raw maps of all scales added on every fourth pixel and divided by each one's maximum: in [0, 1]."""
    return divide_by_max(add_scales(raw, stored_size(size)))


def fuse_full(raw: Sequence[Float[Tensor, "n _ _"]], size: tuple[int, int]) -> Float[Tensor, "n H W"]:
    """Raw maps of all scales added at the picture's size and divided by each one's maximum: in [0, 1]."""
    height, width = (((side - 1) // FULL_STRIDE + 1) * FULL_STRIDE for side in size)
    return divide_by_max(add_scales(raw, (height, width))[:, : size[0], : size[1]])


def add_scales(raw: Sequence[Float[Tensor, "n _ _"]], size: tuple[int, int]) -> Float[Tensor, "n h w"]:
    """Each scale's maps brought to one size (bilinear, half-pixel centres) and added."""
    first, *others = (interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0] for maps in raw)
    return sum(others, start=first)


def divide_by_max(maps: Float[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """Each map's positive part over its maximum; zeros stay zeros."""
    maps = maps.relu()
    return maps / (maps.amax(dim=(1, 2), keepdim=True) + EPS)


def enlarge(maps: Float[Tensor, "n h4 w4"], size: tuple[int, int]) -> Float[Tensor, "n H W"]:
    """Stored maps at the picture's size: four times larger and cropped, as IRN does."""
    height, width = (side * STORED_STRIDE for side in maps.shape[1:])
    full = interpolate(maps[:, None], (height, width), mode="bilinear", align_corners=False)[:, 0]
    return full[:, : size[0], : size[1]]
