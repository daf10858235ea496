"""AffinityNet's training: its items, its loss, and what of it learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional

from advcam.classify.freezing import frozen_parameters
from advcam.data.images import read_image
from advcam.data.jitter import jitter_colours
from advcam.data.transforms import normalize, random_window, scale_image
from advcam.errors import DataError
from advcam.models.batch_norm import freeze_batch_norm
from advcam.models.resnet38 import FROZEN_UP_TO, RESNET38
from advcam.refine.pairs import affinity_losses, pair_labels
from advcam.refine.psa.labels import AffinityLabels, affinity_labels
from advcam.refine.psa.network import AffinityNet
from advcam.refine.psa.propagation import pair_affinities
from advcam.refine.psa_settings import STRIDE, PSASettings
from advcam.training.task import Task


@dataclass(frozen=True)
class AffinityExample:
    """A training image and the file of its labels."""

    image: Path
    labels: Path


class AffinityTask(Task):
    """AffinityNet learns which neighbouring cells are of one class, as PSA's program teaches it.

    The backbone learns at ``settings.lr`` from the part after ``settings.freeze`` on, the new layers at
    ``settings.head_lr_factor`` times that. All batch norms keep statistics, scale and shift.

    Args:
        examples: images with their labels.
    """

    settings: PSASettings

    def __init__(self, network: AffinityNet, examples: Sequence[AffinityExample], settings: PSASettings) -> None:
        super().__init__(network, settings)
        self.examples = tuple(examples)
        self.mean, self.std = network.mean, network.std
        freeze_batch_norm(network, affine_trainable=False)
        for parameter in frozen(network, settings.freeze):
            parameter.requires_grad_(False)

    def __len__(self) -> int:
        return len(self.examples)

    def item(self, epoch: int, index: int) -> tuple[Float[Tensor, "3 S S"], Int64[Tensor, "s s"]]:
        """A crop, and the labels of its cells."""
        example = self.examples[index]
        labels = AffinityLabels.load(example.labels)
        image = at_size(read_image(example.image), labels.low.shape[1:], example)
        return augment(image, labels, self.mean, self.std, self.settings, self.generator(epoch, index))

    def parameter_groups(self) -> list[dict[str, Any]]:
        assert isinstance(self.network, AffinityNet)
        backbone = [parameter for parameter in self.network.backbone.parameters() if parameter.requires_grad]
        new = {"params": self.network.new_parameters(), "lr": self.settings.lr * self.settings.head_lr_factor}
        return [{"params": backbone}, new] if backbone else [new]

    def loss(self, batch: Any, update: int, total: int) -> dict[str, Tensor]:
        images, labels = batch
        affinities = pair_affinities(self.network(images), self.settings.radius)
        alike, different = affinity_losses(affinities, pair_labels(labels, self.settings.radius))
        return {"loss": (alike + different) / 2, "alike": alike, "different": different}


def frozen(network: AffinityNet, freeze: str | None) -> list[nn.Parameter]:
    """The parameters of the backbone that do not learn, as ``psa.freeze`` says."""
    if freeze == "auto":
        freeze = FROZEN_UP_TO if network.architecture == RESNET38 else None
    return frozen_parameters(network.backbone, freeze, "psa.freeze")


def at_size(
    image: UInt8[np.ndarray, "H W 3"], size: tuple[int, ...], example: AffinityExample
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture at the size of its labels, which are made at a smaller one where it is large."""
    if image.shape[:2] == size:
        return image
    reduced = scale_image(image, max(size) / max(image.shape[:2]))
    if reduced.shape[:2] != size:
        raise DataError(
            f"{example.image} is {image.shape[1]} x {image.shape[0]} pixels, but the labels {example.labels} were made "
            f"of {size[1]} x {size[0]}: the image was changed, run `advcam refine` with --overwrite"
        )
    return reduced


def augment(
    image: UInt8[np.ndarray, "H W 3"],
    labels: AffinityLabels,
    mean: Sequence[float],
    std: Sequence[float],
    settings: PSASettings,
    generator: np.random.Generator,
) -> tuple[Float[Tensor, "3 S S"], Int64[Tensor, "s s"]]:
    """A random view of a training image and the labels of its cells, in the order of PSA's program.

    1. Colours change. 2. A square of ``settings.crop`` pixels is cut from the image and its scores together: along
    each axis a uniform window, or, where the image is shorter, the whole image at a uniform place in zeros (black, as
    it comes before the normalization, and no score). 3. Normalization. 4. A mirror image with probability 1/2. 5. The
    scores are averaged over cells, and the cells labelled. Images are not resized.
    """
    image = jitter_colours(image, settings.jitter, generator)
    rows, rows_in_crop = random_window(image.shape[0], settings.crop, generator)
    columns, columns_in_crop = random_window(image.shape[1], settings.crop, generator)
    filled = np.zeros((settings.crop, settings.crop, 3), np.uint8)
    filled[rows_in_crop, columns_in_crop] = image[rows, columns]
    view = torch.from_numpy(normalize(filled, mean, std))
    scores = []
    for known in (labels.low, labels.high):
        cut = torch.from_numpy(known[:, rows, columns].astype(np.float32))
        whole = torch.zeros(len(cut) + 1, settings.crop, settings.crop)
        whole[:, rows_in_crop, columns_in_crop] = torch.cat([1 - cut.sum(dim=0, keepdim=True), cut])
        scores.append(whole)
    if settings.flip and generator.random() < 0.5:
        view, scores = view.flip(-1), [score.flip(-1) for score in scores]
    low, high = (functional.avg_pool2d(score[None], STRIDE)[0] for score in scores)
    return view, affinity_labels(low, high)
