"""The training of DeepLab-v2 on masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from advcam.data.record import ImageSet
from advcam.models.batch_norm import freeze_batch_norm
from advcam.models.classifier import pretrained
from advcam.segment.data import random_view, read_pair, take_view
from advcam.segment.deeplab import DeepLab
from advcam.segment.inference import Segmenter
from advcam.segment.loss import segmentation_loss
from advcam.segment.settings import SegmentSettings
from advcam.segment.validation import SegmentationTask, Validation
from advcam.training.machine import seeded
from advcam.training.schedule import lr_factor


def start_deeplab(settings: SegmentSettings, class_names: tuple[str, ...]) -> tuple[Segmenter, dict[str, Any]]:
    """An untrained network on pretrained weights, and what ``save_network`` needs to build it again."""
    with seeded(settings.seed):
        classifier = pretrained(settings, settings.weights)
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


class DeepLabTask(SegmentationTask):
    """DeepLab-v2 on images with masks.

    Args:
        segmenter: as ``start_deeplab`` makes it; its network is trained.
        train: images with a mask each, as ``check_masks`` leaves them.
        validation: what is measured while it trains, or None.
    """

    network: DeepLab
    settings: SegmentSettings

    def __init__(
        self, segmenter: Segmenter, train: ImageSet, settings: SegmentSettings, validation: Validation | None = None
    ) -> None:
        super().__init__(segmenter.network, settings, segmenter, validation)
        self.train = train

    def __len__(self) -> int:
        return len(self.train)

    def item(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        image, mask = read_pair(self.train.records[index], len(self.train.class_names))
        told = self.settings
        view = random_view(image.shape[:2], told.scales, told.crop, told.flip, self.generator(epoch, index))
        return take_view(image, mask, view, told.crop, self.segmenter.mean, self.segmenter.std)

    def loss(self, batch: Sequence[Tensor], update: int, total: int) -> dict[str, Tensor]:
        images, masks = batch
        return {"loss": segmentation_loss(self.network.pyramid_logits(images), masks, self.settings.loss)}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The backbone's weights; the head's at a higher rate; its biases at twice that, without weight decay."""
        lr = self.settings.lr * self.settings.head_lr_factor
        head = list(self.network.aspp.branches)
        return [
            {"params": [parameter for parameter in self.network.backbone.parameters() if parameter.requires_grad]},
            {"params": [branch.weight for branch in head], "lr": lr},
            {"params": [branch.bias for branch in head], "lr": 2 * lr, "weight_decay": 0.0},
        ]

    def lr_factor(self, update: int, total: int) -> float:
        """The decay, which stands still between every ``lr_hold`` updates, under the warm-up, which does not."""
        warmup = round(self.settings.warmup * total)
        held = lr_factor(update - update % self.settings.lr_hold, total, self.settings.poly_power)
        return held * min(1.0, (update + 1) / warmup) if warmup else held
