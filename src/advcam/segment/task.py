"""The training of DeepLab-v2 on masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from advcam.data.record import ImageSet
from advcam.models.batch_norm import freeze_batch_norm
from advcam.models.classifier import build_classifier
from advcam.models.settings import BackboneSettings
from advcam.segment.data import random_view, read_pair, take_view
from advcam.segment.deeplab import DeepLab
from advcam.segment.inference import Segmenter
from advcam.segment.loss import segmentation_loss
from advcam.segment.settings import SegmentSettings
from advcam.segment.validation import Validation
from advcam.training import Task
from advcam.training.schedule import lr_factor
from advcam.training.seeding import seeded


def start_deeplab(settings: SegmentSettings, class_names: tuple[str, ...]) -> tuple[Segmenter, dict[str, Any]]:
    """An untrained network on pretrained weights, and what ``save_network`` needs to build it again.

    Raises:
        SettingsError: an unknown architecture or set of weights.
        ModelError: the architecture does not reach the output stride, or the weights do not fit.
    """
    backbone = BackboneSettings(
        architecture=settings.architecture,
        weights=settings.weights,
        output_stride=settings.output_stride,
        mean=settings.mean,
        std=settings.std,
    )
    # A classifier knows how weights of every origin come into a backbone; its head is not used.
    with seeded(settings.seed):
        classifier = build_classifier(backbone, num_classes=1)
        network = DeepLab(
            classifier.backbone, classifier.head.in_features, len(class_names) + 1, settings.rates, settings.pyramid
        )
    if settings.freeze_batch_norm:
        freeze_batch_norm(network, affine_trainable=False)
    build = {
        "architecture": classifier.architecture,
        "output_stride": classifier.output_stride,
        "rates": list(settings.rates),
        "pyramid": list(settings.pyramid),
    }
    return Segmenter(network, class_names, classifier.mean, classifier.std), build


class DeepLabTask(Task):
    """DeepLab-v2 on images with masks.

    Args:
        segmenter: as ``start_deeplab`` makes it; its network is trained.
        train: images with a mask each, as ``check_masks`` leaves them.
        settings: of the training.
        validation: what is measured while it trains, or None.
    """

    def __init__(
        self, segmenter: Segmenter, train: ImageSet, settings: SegmentSettings, validation: Validation | None = None
    ) -> None:
        assert isinstance(segmenter.network, DeepLab)
        super().__init__(segmenter.network, settings)
        self.deeplab, self.told = segmenter.network, settings
        self.segmenter, self.train, self.validation = segmenter, train, validation
        self.score_name = None if validation is None else "mIoU"

    def __len__(self) -> int:
        return len(self.train)

    def item(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        image, mask = read_pair(self.train.records[index], len(self.train.class_names))
        told = self.told
        view = random_view(image.shape[:2], told.scales, told.crop, told.flip, self.generator(epoch, index))
        return take_view(image, mask, view, told.crop, self.segmenter.mean, self.segmenter.std)

    def loss(self, batch: Sequence[Tensor], update: int, total: int) -> dict[str, Tensor]:
        images, masks = batch
        return {"loss": segmentation_loss(self.deeplab.pyramid_logits(images), masks, self.told.loss)}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The backbone's weights; the head's at a higher rate; its biases at twice that, without weight decay."""
        lr = self.told.lr * self.told.head_lr_factor
        head = list(self.deeplab.aspp.branches)
        return [
            {"params": [parameter for parameter in self.deeplab.backbone.parameters() if parameter.requires_grad]},
            {"params": [branch.weight for branch in head], "lr": lr},
            {"params": [branch.bias for branch in head], "lr": 2 * lr, "weight_decay": 0.0},
        ]

    def lr_factor(self, update: int, total: int) -> float:
        """The decay, which stands still between every ``lr_hold`` updates, under the warm-up, which does not."""
        warmup = round(self.told.warmup * total)
        held = lr_factor(update - update % self.told.lr_hold, total, self.told.poly_power)
        return held * min(1.0, (update + 1) / warmup) if warmup else held

    def validate(self, rank: int, world: int) -> Tensor | None:
        return None if self.validation is None else self.validation.confusion(self.segmenter, rank, world)

    def scores(self, total: Tensor) -> dict[str, float]:
        assert self.validation is not None
        return self.validation.scores(total)

    def pictures(self) -> dict[str, UInt8[np.ndarray, "_ _ 3"]]:
        return {} if self.validation is None else self.validation.pictures(self.segmenter)
