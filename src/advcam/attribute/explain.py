"""AdvCAM as an explanation of any classifier, for those who come from a heat-map library."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import interpolate

from advcam.attribute.climb import climb
from advcam.attribute.grid import divide_by_max
from advcam.attribute.maps.cam import CAM
from advcam.attribute.settings import ClimbSettings, adapted
from advcam.models.mapper import ClassMapper


class AdvCAM:
    """Localization maps of a classifier, image by image and class by class, at one scale.

    Args:
        model: a torchvision or timm classifier that ends in pooling and a linear layer, or a ``ClassMapper``.
        settings: of the climb, in the network's own units; None takes ``ClimbSettings.released()`` adapted to it.
        feature_layer, head: names of the last feature layer and of the linear layer, where they are not found.

    Raises:
        ModelError: the model does not end in pooling and a linear layer.

    >>> import torch, torchvision, advcam
    >>> explain = advcam.AdvCAM(torchvision.models.resnet18())
    >>> explain(torch.randn(2, 3, 64, 96), torch.tensor([3, 5])).shape
    torch.Size([2, 64, 96])
    """

    def __init__(
        self,
        model: nn.Module,
        settings: ClimbSettings | None = None,
        *,
        feature_layer: str | None = None,
        head: str | None = None,
    ) -> None:
        if not isinstance(model, ClassMapper):
            model = ClassMapper.from_model(model, feature_layer, head)
        self.mapper = model
        self.settings = settings or adapted(ClimbSettings.released(), CAM(model).units)

    def __call__(
        self,
        images: Float[Tensor, "n 3 H W"],
        classes: Int[Tensor, " n"],
        saliency: Float[Tensor, "n H W"] | None = None,
    ) -> Float[Tensor, "n H W"]:
        """Maps in [0, 1] at the images' size, on their device; zeros where a class is not seen.

        Args:
            images: normalised as the network expects it.
            classes: one class per image; repeat an image to map several of its classes.
            saliency: salient-object maps in [0, 1]; maps are held where they are background (section 4.4).
        """
        maps = climb(self.mapper, images, classes, self.settings, saliency=saliency)
        size = (images.shape[2], images.shape[3])
        return divide_by_max(interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0])
