"""Class activation maps (eq. 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from advcam.attribute.pairs import as_classes, as_images, check_pairs, understood
from advcam.data.pixels import takes_arrays
from advcam.models.mapper import ClassMapper, of_class


@takes_arrays
def cam(
    mapper: ClassMapper, images: Float[Tensor, "n _ H W"], classes: Integer[Tensor, " n"] | Sequence[int]
) -> Float[Tensor, "n h w"]:
    """The positive part of each image's class activation map, ``ReLU(w_c . f(x))`` (eq. 2).

    Args:
        mapper: the classifier.
        images: in the network's input space, ``(u / 255 - mean) / std``.
        classes: one class index per image; repeat an image to map several of its classes.

    Returns:
        Maps of non-negative values on the network's grid; zero everywhere where the class is not seen.

    >>> import torch, advcam
    >>> mapper = advcam.ClassMapper(torch.nn.Conv2d(3, 8, 3, stride=4, padding=1), torch.randn(5, 8))
    >>> advcam.cam(mapper, torch.randn(2, 3, 32, 48), torch.tensor([0, 3])).shape
    torch.Size([2, 8, 12])
    """
    classes_N = as_classes(classes, images.device)
    check_pairs(images, classes_N, mapper.num_classes)
    images = as_images(images, mapper)
    with mapper.frozen(), torch.no_grad(), understood(images, mapper):
        return of_class(mapper.class_maps(images), classes_N).relu()
