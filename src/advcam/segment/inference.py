"""Labels of whole pictures: at several scales, mirrored, refined by the dense CRF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, nn

from advcam.data.masks import resized_labels
from advcam.data.pixels import as_pixels
from advcam.data.transforms import normalize, resize_long_side
from advcam.data.windows import Window, blended
from advcam.errors import ModelError
from advcam.models.ranges import bilinear
from advcam.models.weights import finite
from advcam.refine.crf import dense_crf
from advcam.refine.settings import CRFSettings
from advcam.refine.unary import unary_from_scores
from advcam.segment.settings import InferenceSettings

# 8 bits, without the one for what does not count.
MOST_LABELS = 255


def class_logits(
    network: nn.Module,
    images: Float[Tensor, "n 3 H W"],
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    align_corners: bool = False,
    multiple: int = 1,
) -> Float[Tensor, "n K H W"]:
    """Logits at the size of the images: the mean over scales, and over each one's mirror image with ``flip``.

    Args:
        network: gives logits on a grid of any size, ``Float[n K h w]``, for images of any size.
        images: in the network's input space.
        scales: factors of the images' size; resized bilinearly, sizes cut to whole pixels.
        flip: average with the logits of the mirror image.
        align_corners: of the enlargement of the logits: DeepLab has False, CCT True.
        multiple: the images are first continued by reflection, at the bottom and on the right, up to multiples of it,
            and what was added is cut off the logits (CCT: the output stride).
    """
    rows, columns = images.shape[-2:]
    images = pad_to_multiple(images, multiple)
    height, width = images.shape[-2:]
    total: Tensor | None = None
    for scale in scales:
        size = max(1, int(height * scale)), max(1, int(width * scale))
        scaled = bilinear(images, size)
        for mirrored in (False, True) if flip else (False,):
            # With the labels of a pixel side by side, enlarging and taking the highest are four times as quick.
            logits = network(scaled.flip(-1) if mirrored else scaled).contiguous(memory_format=torch.channels_last)
            enlarged = bilinear(logits.flip(-1) if mirrored else logits, (height, width), align_corners)
            total = enlarged if total is None else total + enlarged
    assert total is not None
    return total[..., :rows, :columns] / (len(scales) * (2 if flip else 1))


def pad_to_multiple(images: Float[Tensor, "n 3 H W"], multiple: int) -> Float[Tensor, "n 3 _ _"]:
    """Images continued by reflection, at the bottom and on the right, up to multiples of a number of pixels.

    >>> pad_to_multiple(torch.tensor([0.0, 1.0, 2.0]).expand(1, 3, 4, 3), 4)[0, 0, 0]
    tensor([0., 1., 2., 1.])
    """
    if multiple == 1:
        return images
    for axis in (2, 3):
        # By index rather than by torch's padding, which cannot be exported for images of any size.
        last = images.shape[axis] - 1
        places = torch.arange((last // multiple + 1) * multiple, device=images.device)
        images = images.index_select(axis, (last - (places - last).abs()).clamp(min=0))
    return images


@dataclass(frozen=True)
class Segmenter:
    """A trained network with the names of its classes and the statistics of its input: pictures in, labels out.

    ``advcam.segment.load`` gives one. It runs on the device that its network is on.

    Attributes:
        network: logits on a grid, ``Float[n K h w]``, of normalised images; in evaluation mode.
        class_names: without the background, in the order of the labels 1, 2, ...
        mean, std: of the input, for pixel values in [0, 1].
        align_corners, multiple: see ``class_logits``.

    >>> segmenter = Segmenter(nn.Conv2d(3, 3, 8, stride=8), ("cat", "dog"), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    >>> segmenter(np.zeros((32, 48, 3), np.uint8)).shape
    (32, 48)
    """

    network: nn.Module
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    align_corners: bool = False
    multiple: int = 1

    @property
    def num_labels(self) -> int:
        """The classes and the background."""
        return len(self.class_names) + 1

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def to(self, device: torch.device | str) -> Segmenter:
        """Move the network; returns itself."""
        self.network.to(device)
        return self

    def __call__(
        self, image: Image.Image | np.ndarray | Tensor, settings: InferenceSettings | None = None
    ) -> UInt8[np.ndarray, "H W"]:
        """The label of every pixel of a picture: 0 the background, ``i + 1`` for ``class_names[i]``.

        Args:
            image: opened by Pillow, or an array with height and width first; see ``as_pixels``.

        Raises:
            DataError: it is no picture.
        """
        return self.labels([as_pixels(image)], settings)[0]

    @torch.inference_mode()
    def labels(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], settings: InferenceSettings | None = None
    ) -> list[UInt8[np.ndarray, "_ _"]]:
        """The labels of pictures of one size. Longer sides than ``max_side`` are reduced, and their labels enlarged."""
        settings = settings or InferenceSettings()
        if self.num_labels > MOST_LABELS:
            raise ModelError(f"the network knows {self.num_labels} labels, and a mask has room for {MOST_LABELS}")
        size = (images[0].shape[0], images[0].shape[1])
        if 0 < settings.window < max(size):
            return [self._in_windows(image, settings) for image in images]
        if max(size) > settings.max_side:
            images = [resize_long_side(image, settings.max_side) for image in images]
        logits = self.logits(images, settings)
        if settings.crf:
            pairs = zip(images, logits.float(), strict=True)
            logits = torch.stack([by_crf(image, scores.softmax(0)) for image, scores in pairs])
        found = list(logits.argmax(dim=1).to(torch.uint8).cpu().numpy())
        if found[0].shape == size:
            return found
        return [resized_labels(labels, size) for labels in found]

    def _in_windows(self, image: UInt8[np.ndarray, "H W 3"], settings: InferenceSettings) -> UInt8[np.ndarray, "H W"]:
        def probabilities(window: Window) -> Float[Tensor, "K h w"]:
            part = np.ascontiguousarray(image[window])
            found = self.logits([part], settings)[0].float().softmax(0)
            return by_crf(part, found) if settings.crf else found

        found = np.empty(image.shape[:2], np.uint8)
        for part, values in blended((image.shape[0], image.shape[1]), settings.window, probabilities):
            found[part] = values.argmax(0).to(torch.uint8).numpy()
        return found

    @torch.inference_mode()
    def logits(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], settings: InferenceSettings | None = None
    ) -> Float[Tensor, "n K H W"]:
        """The logits of pictures of one size, at that size."""
        settings = settings or InferenceSettings()
        batch = torch.stack([torch.from_numpy(normalize(image, self.mean, self.std)) for image in images])
        batch = batch.to(self.device).contiguous(memory_format=torch.channels_last)
        found = class_logits(self.network, batch, settings.scales, settings.flip, self.align_corners, self.multiple)
        return finite(found, "the scores of the segmentation network")


def by_crf(image: UInt8[np.ndarray, "H W 3"], probabilities: Float[Tensor, "K H W"]) -> Float[Tensor, "K H W"]:
    """Marginals of DeepLab-v2's CRF on probabilities, with the picture's own levels in the appearance kernel.

    Labels that no pixel gives a probability of 1e-5, the floor of the energies, cannot win and are left out.
    """
    floor = 1e-5
    able = (probabilities.amax(dim=(1, 2)) > floor).nonzero().flatten()
    found = torch.zeros_like(probabilities)
    found[able] = (
        1.0
        if len(able) == 1
        else dense_crf(image, unary_from_scores(probabilities[able], floor), CRFSettings.deeplab())
    )
    return found
