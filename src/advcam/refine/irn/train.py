"""Training of IRN on label maps, as a task of ``advcam.training``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from advcam.data.images import open_picture, read_image
from advcam.data.masks import IGNORE
from advcam.data.transforms import normalize, random_window, scale_image, scaled_size
from advcam.errors import DataError
from advcam.refine.irn.inference import filled_up
from advcam.refine.irn.losses import irn_loss, reduced_labels
from advcam.refine.irn.network import IRNNetwork
from advcam.refine.irn_settings import STRIDE, IRNSettings
from advcam.refine.pairs import pair_labels
from advcam.training.task import Task


@dataclass(frozen=True)
class LabelledImage:
    """A picture and the label map that IRN learns from, as files."""

    image: Path
    labels: Path
    """An indexed PNG: 0 background, class + 1, 255 unsure."""
    max_side: int
    """Larger pictures are reduced to it; the label map has the reduced picture's size."""

    def read(self) -> tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W"]]:
        """Both."""
        image = read_image(self.image)
        if max(image.shape) > self.max_side:
            image = scale_image(image, self.max_side / max(image.shape[:2]))
        try:
            with open_picture(self.labels) as opened:
                labels = np.array(opened)
        except (OSError, SyntaxError) as error:
            raise DataError(
                f"{self.labels} is not a whole label map ({error}): delete it, and run the same again"
            ) from error
        if labels.shape != image.shape[:2]:
            raise DataError(
                f"{self.labels} is {labels.shape[1]} x {labels.shape[0]} pixels, but its image "
                f"{image.shape[1]} x {image.shape[0]}: delete it, and run the same again"
            )
        return image, labels


class IRNTask(Task):
    """Edges and displacements from pairs of labels (IRN paper, equations 4 to 8)."""

    network: IRNNetwork
    settings: IRNSettings

    def __init__(self, network: IRNNetwork, images: Sequence[LabelledImage], settings: IRNSettings) -> None:
        super().__init__(network, settings)
        self.images = images
        self.mean, self.std = network.taps.mean, network.taps.std

    def __len__(self) -> int:
        return len(self.images)

    def item(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        image, labels = self.images[index].read()
        return training_view(image, labels, self.mean, self.std, self.settings, self.generator(epoch, index))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The edge branch at the rate of the settings, the displacement branch at a multiple of it."""
        fast = self.settings.lr * self.settings.displacement_lr_factor
        return [
            {"params": list(self.network.edge.parameters())},
            {"params": list(self.network.displacement.parameters()), "lr": fast},
        ]

    def loss(self, batch: Sequence[Tensor], update: int, total: int) -> dict[str, Tensor]:
        images, labels = batch
        output, radius = self.network(images), self.settings.radius
        terms = irn_loss(output.edge_logits, output.displacements, pair_labels(labels, radius), radius)
        return {"loss": terms.total, **vars(terms)}


def training_view(
    image: UInt8[np.ndarray, "H W 3"],
    labels: UInt8[np.ndarray, "H W"],
    mean: Sequence[float],
    std: Sequence[float],
    settings: IRNSettings,
    generator: np.random.Generator,
) -> tuple[Float[Tensor, "3 S S"], UInt8[Tensor, "s s"]]:
    """A random view of an image and its labels at a quarter of its resolution, in the order of IRN's program.

    1. Both are resized by one uniform factor of ``settings.scale``, the image bicubic, the labels nearest. 2. The image
    is normalised. 3. Both are mirrored with probability 1/2. 4. A random crop of ``settings.crop`` pixels; where the
    image is smaller the rest is zero in the image (the mean colour) and 255 in the labels. 5. The labels are reduced
    by 4. ``generator`` is asked for the factor, the mirror, the row, the column.
    """
    factor = float(generator.uniform(*settings.scale))
    height, width = scaled_size(labels.shape, factor)
    image = scale_image(image, factor)
    labels = np.array(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))
    if generator.random() < 0.5:
        image, labels = image[:, ::-1], labels[:, ::-1]
    rows, rows_in_crop = random_window(height, settings.crop, generator)
    columns, columns_in_crop = random_window(width, settings.crop, generator)
    view = torch.zeros(3, settings.crop, settings.crop)
    view[:, rows_in_crop, columns_in_crop] = torch.from_numpy(normalize(image[rows, columns], mean, std))
    crop = np.full((settings.crop, settings.crop), IGNORE, np.uint8)
    crop[rows_in_crop, columns_in_crop] = labels[rows, columns]
    return view, reduced_labels(torch.from_numpy(crop), STRIDE).contiguous()


@torch.no_grad()
def set_mean_shift(
    network: IRNNetwork,
    images: Iterable[UInt8[np.ndarray, "_ _ 3"]],
    crop: int,
    batch_size: int,
    device: torch.device,
    on_batch: Callable[[int], None] = lambda count: None,
) -> Tensor:
    """Take the mean displacement over a data set as ``network.mean_shift``; returns it, ``(dy, dx)`` in cells.

    Over all images, each seen once as the crop of its top left corner, filled up with the mean colour. The reference
    program leaves out a last batch that is not full.

    Args:
        crop: side in pixels, that of the training.
        on_batch: is told the number of images of each pass.
    """
    network.eval()
    network.mean_shift.zero_()
    total, count = torch.zeros(2, dtype=torch.float64), 0
    batch: list[Tensor] = []

    def take() -> None:
        nonlocal total, count
        found = network(torch.stack(batch).to(device)).displacements
        total += found.double().mean(dim=(2, 3)).sum(dim=0).cpu()
        count += len(batch)
        on_batch(len(batch))
        batch.clear()

    for image in images:
        batch.append(filled_up(image[:crop, :crop], (crop, crop), network.taps.mean, network.taps.std))
        if len(batch) == batch_size:
            take()
    if batch:
        take()
    network.mean_shift.copy_(total / max(count, 1))
    return network.mean_shift
