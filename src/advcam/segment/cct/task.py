"""The training of CCT: its network from settings, its items, its loss."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from advcam.data.images import read_image
from advcam.data.masks import IGNORE
from advcam.data.record import Record
from advcam.errors import SettingsError
from advcam.models.batch_norm import freeze_batch_norm
from advcam.models.classifier import pretrained
from advcam.segment.cct.augment import augment
from advcam.segment.cct.data import SemiSupervised
from advcam.segment.cct.network import CCTNetwork, CCTTraining, load_published
from advcam.segment.cct.objective import Batch, objective, weights_at
from advcam.segment.cct.settings import CCTSettings
from advcam.segment.data import read_pair
from advcam.segment.inference import Segmenter
from advcam.segment.validation import SegmentationTask, Validation
from advcam.training.machine import seeded

# Apart from the trainer's own uses of the seed.
_LABELLED_ORDER, _LABELLED_VIEW, _NETWORK, _AUXILIARY = 10, 11, 12, 13


def start_cct(settings: CCTSettings, class_names: tuple[str, ...]) -> tuple[Segmenter, dict[str, Any]]:
    """An untrained network on pretrained weights, and what ``save_network`` needs to build it again."""
    with seeded(settings.seed):
        classifier = pretrained(settings, None if settings.checkpoint else settings.weights)
    channels, stride = classifier.head.in_features, classifier.output_stride
    if settings.crop % stride:
        raise SettingsError(
            f"cct.crop is {settings.crop}, which is no multiple of the output stride of {stride}: take "
            f"{max(settings.crop // stride, 1) * stride}"
        )
    width = settings.psp_channels or channels // 4
    with seeded(settings.seed, _NETWORK):
        network = CCTNetwork(classifier.backbone, channels, stride=stride, width=width, num_labels=len(class_names) + 1)
    if settings.checkpoint is not None:
        load_published(network, settings.checkpoint)
    if settings.freeze_batch_norm:
        freeze_batch_norm(network.encoder.base)
    build = {"architecture": classifier.architecture, "output_stride": stride, "width": width}
    segmenter = Segmenter(network, class_names, classifier.mean, classifier.std, align_corners=True, multiple=stride)
    return segmenter, build


class CCTTask(SegmentationTask):
    """CCT on images with and without masks.

    An item is one image without a mask and one with. Over an epoch each image without is seen once, and those with
    equally often, up to one time.

    Args:
        segmenter: as ``start_cct`` makes it; its network is trained.
        validation: what is measured while it trains, or None.
    """

    network: CCTTraining
    settings: CCTSettings
    # Batch norm of pyramid pooling, whose first mean is of the whole image.
    fewest_items: ClassVar[int] = 2

    def __init__(
        self, segmenter: Segmenter, data: SemiSupervised, settings: CCTSettings, validation: Validation | None = None
    ) -> None:
        assert isinstance(segmenter.network, CCTNetwork)
        with seeded(settings.seed, _AUXILIARY):
            training = CCTTraining(segmenter.network, settings)
        super().__init__(training, settings, segmenter, validation)
        self.data = data

    def __len__(self) -> int:
        return len(self.data.others.records)

    def item(self, epoch: int, index: int) -> dict[str, Tensor]:
        place = epoch * len(self) + index
        which = self.labelled_at(place)
        seen = (epoch, which) if self.settings.repeat_views else (place,)
        with_mask = np.random.default_rng((self.settings.seed, _LABELLED_VIEW, *seen))
        image, mask = self._view(self.data.labelled.images.records[which], True, with_mask)
        other, pseudo_mask = self._view(self.data.others.records[index], self.data.weak, self.generator(epoch, index))
        return {"image": image, "mask": mask, "other": other, "pseudo_mask": pseudo_mask}

    def labelled_at(self, place: int) -> int:
        """The image with a mask beside the ``place``-th one without: all of them in turn, in a new order each round."""
        count = len(self.data.labelled.images)
        turn, position = divmod(place, count)
        return int(np.random.default_rng((self.settings.seed, _LABELLED_ORDER, turn)).permutation(count)[position])

    def _view(self, record: Record, masked: bool, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        if masked:
            image, mask = read_pair(record, len(self.segmenter.class_names))
        else:
            image = read_image(record.image)
            mask = np.full(image.shape[:2], IGNORE, np.uint8)
        return augment(image, mask, self.segmenter.mean, self.segmenter.std, self.settings, generator)

    def loss(self, batch: dict[str, Tensor], update: int, total: int) -> dict[str, Tensor]:
        pseudo_masks = batch["pseudo_mask"] if self.data.weak else None
        images = Batch(batch["image"], batch["mask"], batch["other"], pseudo_masks)
        weights = weights_at(update, total, self.segmenter.num_labels, self.settings)
        return objective(self.network, images, weights, self.settings)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The backbone's parameters at a lower rate; pyramid pooling and all decoders."""
        backbone = [p for p in self.network.main.encoder.base.parameters() if p.requires_grad]
        known = set(map(id, backbone))
        rest = [p for p in self.network.parameters() if id(p) not in known]
        return [{"params": backbone, "lr": self.settings.lr * self.settings.backbone_lr_factor}, {"params": rest}]
