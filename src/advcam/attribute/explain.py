"""AdvCAM as an explanation of any image network, for those who come from a heat-map library."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import interpolate

from advcam.attribute.climb import climb
from advcam.attribute.grid import divide_by_max
from advcam.attribute.inputs import PictureMap, to_input
from advcam.attribute.maps.cam import CAM
from advcam.attribute.maps.find import find_layer
from advcam.attribute.maps.gradcam import GradCAM
from advcam.attribute.settings import ClimbSettings, adapted
from advcam.data.pixels import as_pixels
from advcam.errors import ModelError, SettingsError
from advcam.models.mapper import ClassMapper

Picture = Image.Image | np.ndarray
Classes = Tensor | np.ndarray | Sequence[int] | Sequence[Sequence[int]]
# Opacity of an overlay's colour where the map is 1.
OPACITY = 0.75
_log = logging.getLogger(__name__)


class AdvCAM:
    """Localization maps of a network, image by image and class by class, at one scale.

    What can be mapped is found by measuring: class activation maps where the network ends in pooling and one linear
    layer, checked to equal its scores; else Grad-CAM at the last layer whose map the scores depend on, the patches of a
    vision transformer among them. ``taken`` says which.

    Args:
        model: any classifier, a ``ClassMapper``, or a map of ``advcam.maps``.
        settings: of the climb, in the network's own units; None takes ``ClimbSettings.released()`` adapted to it.
        feature_layer: name of the layer that is mapped, or several, whose maps are fused; None finds it.
        head: name of the linear layer, where it is not found.
        target: what is explained where it is not a class: from the network's output n scores, or n x K.

    Raises:
        ModelError: nothing in the network can be mapped; says why.

    >>> import torch, torchvision, advcam
    >>> explain = advcam.AdvCAM(torchvision.models.resnet18(), advcam.ClimbSettings(steps=2))
    >>> explain(torch.randn(2, 3, 64, 96), [3, 5]).shape
    torch.Size([2, 64, 96])
    """

    def __init__(
        self,
        model: nn.Module | PictureMap,
        settings: ClimbSettings | None = None,
        *,
        feature_layer: str | Sequence[str] | None = None,
        head: str | None = None,
        target: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        signed = settings is not None and settings.signed
        self.map, self.taken = _found(model, signed, feature_layer, head, target)
        self.settings = settings or adapted(ClimbSettings.released(), self.map.units)
        _log.info("explaining %s by %s", type(model).__name__, self.taken)

    def __call__(
        self,
        images: Tensor | Picture | Sequence[Picture],
        classes: Classes | None = None,
        saliency: Float[Tensor, "n H W"] | None = None,
    ) -> Any:
        """Maps in [0, 1] at the images' size, on the network's device; zeros where a class is not seen.

        Args:
            images: a batch n x 3 x H x W, normalised as the network expects it; or a picture, or several of any sizes,
                which are normalised here.
            classes: one class per image, or for each image a list of its classes; for one picture its classes. May be
                left out with ``target``.
            saliency: of a batch, salient-object maps in [0, 1]; maps are held where they are background (section 4.4).

        Returns:
            For a batch with one class per image ``Float[n H W]``; for one picture ``Float[k H W]``; else a list with
            ``Float[k H W]`` of each image.
        """
        if isinstance(images, Tensor):
            return self._batch(images, classes, saliency)
        if saliency is not None:
            raise SettingsError("saliency goes with a batch of normalised images, not with pictures")
        one = isinstance(images, Image.Image | np.ndarray)
        pictures: Sequence[Picture] = [images] if one else images  # type: ignore[assignment, list-item]
        wanted = [classes] if one and classes is not None else classes
        own = [[0]] * len(pictures) if wanted is None else _lists(wanted, len(pictures))
        found = []
        for picture, some in zip(pictures, own, strict=True):
            input_13HW = to_input(as_pixels(picture, len(self.map.mean)), self.map)[None]
            found.append(self._maps(input_13HW.expand(len(some), -1, -1, -1), some, None))
        return found[0] if one else found

    def _batch(self, images: Tensor, classes: Any, saliency: Tensor | None) -> Any:
        if not images.is_floating_point():
            raise SettingsError(
                f"a batch must be floating point numbers normalised as the network expects it, not {images.dtype}: "
                "give pictures instead, or normalise it"
            )
        images = images.to(self.map.device, self.map.dtype)
        classes = [0] * len(images) if classes is None else classes
        if isinstance(classes, Tensor | np.ndarray) or not any(isinstance(some, Sequence | Tensor) for some in classes):
            return self._maps(images, classes, saliency)
        own = _lists(classes, len(images))
        owners = [index for index, some in enumerate(own) for _ in some]
        held = None if saliency is None else saliency[owners]
        flat = self._maps(images[owners], [c for some in own for c in some], held)
        return list(flat.split([len(some) for some in own]))

    def _maps(self, images: Tensor, classes: Any, saliency: Tensor | None) -> Float[Tensor, "n H W"]:
        size = (images.shape[2], images.shape[3])
        maps = climb(self.map, images, classes, self.settings, saliency=saliency)
        return divide_by_max(interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0])


def overlay(picture: Picture, heat: Float[Tensor, "H W"]) -> Image.Image:
    """A map in [0, 1] drawn over its picture, the more opaque the higher."""
    pixels = as_pixels(picture).astype(np.float32)
    values = heat.detach().float().cpu().numpy()
    if values.shape != pixels.shape[:2]:
        raise SettingsError(f"the map has shape {values.shape}, the picture {pixels.shape[:2]}: give one of its size")
    colour = 255 * matplotlib.colormaps["inferno"](values)[..., :3]
    opacity = OPACITY * values[..., None]
    return Image.fromarray((pixels * (1 - opacity) + colour * opacity).round().clip(0, 255).astype(np.uint8))


def _lists(classes: Any, count: int) -> list[list[int]]:
    own = [[int(c) for c in (some if isinstance(some, Sequence | Tensor | np.ndarray) else [some])] for some in classes]
    if len(own) != count:
        raise SettingsError(f"there must be classes for each of the {count} images, and there are {len(own)} entries")
    return own


def _found(model: Any, signed: bool, feature_layer: Any, head: str | None, target: Any) -> tuple[PictureMap, str]:
    if isinstance(model, ClassMapper):
        return CAM(model, signed=signed), "class activation maps"
    if hasattr(model, "see") and hasattr(model, "units"):
        return model, type(model).__name__
    if not isinstance(model, nn.Module):
        raise ModelError(f"AdvCAM explains networks, not a {type(model).__name__}: give a torch.nn.Module")
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError("a scripted model shows none of its layers: give the module that it was scripted from")
    reason = "asked for"
    if target is None and (feature_layer is None or isinstance(feature_layer, str)):
        try:
            mapper = ClassMapper.from_model(model, feature_layer, head)
            return CAM(mapper, signed=signed), "class activation maps, which equal its scores"
        except ModelError as error:
            if head is not None:
                raise
            reason = str(error).partition(": ")[2].partition(";")[0]
    layer = feature_layer or find_layer(model, target)
    named = layer if isinstance(layer, str) else ", ".join(layer)
    return GradCAM(model, layer, target=target), f"Grad-CAM of layer {named} ({reason})"
