"""The training of a classifier on class labels, as the trainer wants it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from advcam.classify.augment import augment
from advcam.classify.freezing import frozen_parameters
from advcam.classify.loss import classification_loss
from advcam.classify.settings import ClassifySettings
from advcam.classify.targets import check_labels, targets_of
from advcam.classify.validation import own_scores, precisions
from advcam.data.images import read_image
from advcam.data.record import ImageSet
from advcam.models.batch_norm import freeze_batch_norm
from advcam.training.task import Task

# How the mean average precision is called among the scores, and that of a class.
MEAN, CLASS_PREFIX = "mAP", "AP/"


class ClassifierTask(Task):
    """Class labels in, a classifier out (section 5.1): augmented crops, multi-label or softmax loss, mAP on ``val``.

    Args:
        network: a classifier or a method on one, to be trained; what ``settings`` freeze is frozen for good.
        train, val: labelled images with the same classes; without ``val`` there is no validation.
        subs: sub-categories of each training image, for the method of that name.
        part: of a longer training's updates that these are; learning rates fall as over all of it.
    """

    settings: ClassifySettings

    def __init__(
        self,
        network: nn.Module,
        train: ImageSet,
        val: ImageSet | None,
        settings: ClassifySettings,
        subs: Sequence[tuple[int, ...]] | None = None,
        part: float = 1.0,
    ) -> None:
        check_labels(train, val, settings)
        super().__init__(network, settings)
        classifier: Any = getattr(network, "classifier", network)
        self.classifier, self.subs, self.part = classifier, subs, part
        self.score_name = None if val is None else MEAN
        self.train_set, self.val_set = train, val
        for parameter in frozen_parameters(classifier.backbone, settings.freeze):
            parameter.requires_grad_(False)
        if settings.freeze_batch_norm:
            freeze_batch_norm(network)

    def __len__(self) -> int:
        return len(self.train_set)

    def item(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        record = self.train_set.records[index]
        mean, std = self.classifier.mean, self.classifier.std
        image = read_image(record.image, len(mean))
        view = augment(image, mean, std, self.settings, self.generator(epoch, index))
        targets = targets_of(record.classes, len(self.train_set.class_names))
        if self.subs is not None:
            network: Any = self.network
            targets = torch.cat([targets, targets_of(self.subs[index], network.sub_head.out_features)])
        return view, targets

    def parameter_groups(self) -> list[dict[str, Any]]:
        slow, options = self.classifier.parameter_groups()["backbone"], self.settings
        known = {id(parameter) for parameter in self.classifier.backbone.parameters()}
        fast = [p for p in self.network.parameters() if id(p) not in known and p.requires_grad]
        return [{"params": slow, "lr": options.lr}, {"params": fast, "lr": options.lr * options.head_lr_factor}]

    def lr_factor(self, update: int, total: int) -> float:
        return super().lr_factor(update, round(total / self.part))

    def loss(self, batch: Any, update: int, total: int) -> dict[str, Tensor]:
        images, targets = batch
        if self.network is not self.classifier:
            return self.network.loss(images, targets)  # type: ignore[operator]
        return {"loss": classification_loss(self.classifier(images), targets, self.settings.loss)}

    def validate(self, rank: int, world: int) -> Tensor | None:
        return None if self.val_set is None else own_scores(self.classifier, self.val_set, self.settings, rank, world)

    def scores(self, total: Tensor) -> dict[str, float]:
        assert self.val_set is not None
        values = precisions(total.float(), self.val_set)
        per_class = zip(self.val_set.class_names, values.tolist(), strict=True)
        return {MEAN: float(values.nanmean()), **{CLASS_PREFIX + name: value for name, value in per_class}}
