"""A trained U²-Net as a source of saliency maps, used as it was published."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from PIL import Image

from advcam.models.backbone import IMAGENET_MEAN, IMAGENET_STD
from advcam.models.ranges import min_max
from advcam.models.weights import finite
from advcam.saliency.source import resized
from advcam.saliency.u2net import U2Net, Unit

# Height and width of the published networks' input.
PUBLISHED_SIZE = 320
# A black picture is not divided by its maximum.
BLACK = 1e-6


class U2NetDetector:
    """Saliency maps by a network: pictures squared, divided by their maximum, the fused map from its minimum to its
    maximum brought to [0, 1].

    >>> from advcam.saliency.u2net import PLANS
    >>> detector = U2NetDetector(U2Net(PLANS["u2netp"]), size=64)
    >>> (found,) = detector(["a"], [np.zeros((30, 40, 3), np.uint8)])
    >>> found.shape, found.dtype.name
    ((30, 40), 'float32')
    """

    def __init__(
        self,
        network: U2Net,
        *,
        size: int = PUBLISHED_SIZE,
        device: torch.device | str = "cpu",
        batch_size: int = 1,
    ) -> None:
        self.network = fold(network).to(device).to(memory_format=torch.channels_last)
        self.size, self.device, self.batch_size = size, torch.device(device), batch_size

    def __call__(
        self, ids: Sequence[str], images: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    ) -> list[Float32[np.ndarray, "_ _"] | None]:
        """The maps of the pictures, at the pictures' sizes."""
        if not images:
            return []
        batch = torch.from_numpy(np.stack([network_input(squared(image, self.size)) for image in images]))
        with torch.inference_mode():
            logits = self.network(batch.to(self.device).contiguous(memory_format=torch.channels_last))
            finite(logits, "the scores of the saliency network")
            maps = min_max(logits[:, 0].sigmoid().float().cpu()).numpy()
        return [resized(found, image.shape[:2]) for found, image in zip(maps, images, strict=True)]


def squared(image: UInt8[np.ndarray, "H W 3"], size: int) -> UInt8[np.ndarray, "s s 3"]:
    """The picture at a square size whatever its shape, bilinear and averaged where it shrinks."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def network_input(image: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "3 H W"]:
    """The picture divided by its own maximum, then by ImageNet's statistics; channels first.

    >>> network_input(np.full((1, 1, 3), 7, np.uint8)).ravel().round(3)
    array([2.249, 2.429, 2.64 ], dtype=float32)
    """
    bright = image.astype(np.float32) / max(float(image.max()), BLACK)
    normal = (bright - np.asarray(IMAGENET_MEAN, np.float32)) / np.asarray(IMAGENET_STD, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1))


def fold(network: U2Net) -> U2Net:
    """A copy for evaluation with every batch norm inside its convolution: the same maps in fewer passes."""
    copy = deepcopy(network).eval()
    for module in copy.modules():
        if isinstance(module, Unit):
            module.fold()
    return copy
