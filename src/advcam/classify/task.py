"""The training of a classifier on class labels, as the trainer wants it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from advcam.classify.augment import augment
from advcam.classify.average_precision import average_precision
from advcam.classify.freezing import frozen_parameters
from advcam.classify.loss import classification_loss
from advcam.classify.settings import ClassifySettings
from advcam.classify.targets import check_labels, targets_of
from advcam.classify.validation import own_scores
from advcam.data.images import read_image
from advcam.data.record import ImageSet
from advcam.models.batch_norm import freeze_batch_norm
from advcam.models.classifier import Classifier
from advcam.training.task import Task

# How the mean average precision is called among the scores, and that of a class.
MEAN, CLASS_PREFIX = "mAP", "AP/"


class ClassifierTask(Task):
    """Class labels in, a classifier out (section 5.1): augmented crops, multi-label or softmax loss, mAP on ``val``.

    Args:
        classifier: to be trained; what ``settings`` freeze is frozen for good.
        train, val: labelled images with the same classes; without ``val`` there is no validation.
        settings: of the training.

    Raises:
        DataError, SettingsError: labels from which nothing can be learnt; see ``check_labels``.
    """

    def __init__(
        self,
        classifier: Classifier,
        train: ImageSet,
        val: ImageSet | None,
        settings: ClassifySettings,
    ) -> None:
        check_labels(train, val, settings)
        super().__init__(classifier, settings)
        self.classifier, self.options = classifier, settings
        self.score_name = None if val is None else MEAN
        self.train_set, self.val_set = train, val
        for parameter in frozen_parameters(classifier.backbone, settings.freeze):
            parameter.requires_grad_(False)
        if settings.freeze_batch_norm:
            freeze_batch_norm(classifier)

    def __len__(self) -> int:
        return len(self.train_set)

    def item(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        record = self.train_set.records[index]
        mean, std = self.classifier.mean, self.classifier.std
        image = read_image(record.image, len(mean))
        view = augment(image, mean, std, self.options, self.generator(epoch, index))
        return view, targets_of(record.classes, len(self.train_set.class_names))

    def parameter_groups(self) -> list[dict[str, Any]]:
        groups, options = self.classifier.parameter_groups(), self.options
        return [
            {"params": groups["backbone"], "lr": options.lr},
            {"params": groups["head"], "lr": options.lr * options.head_lr_factor},
        ]

    def loss(self, batch: Any, update: int, total: int) -> dict[str, Tensor]:
        images, targets = batch
        return {"loss": classification_loss(self.classifier(images), targets, self.options.loss)}

    def validate(self, rank: int, world: int) -> Tensor | None:
        return None if self.val_set is None else own_scores(self.classifier, self.val_set, self.options, rank, world)

    def scores(self, total: Tensor) -> dict[str, float]:
        assert self.val_set is not None
        names = self.val_set.class_names
        targets = torch.stack([targets_of(record.classes, len(names)) for record in self.val_set.records])
        values = average_precision(total.float(), targets)
        per_class = {CLASS_PREFIX + name: value for name, value in zip(names, values.tolist(), strict=True)}
        return {MEAN: float(values.nanmean()), **per_class}
