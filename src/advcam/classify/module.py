"""One training step, one validation step, and what is frozen: the classifier as Lightning sees it."""

from __future__ import annotations

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn

from advcam.classify.average_precision import RankedScores
from advcam.classify.data import LAYERS, Batch
from advcam.classify.loss import classification_loss
from advcam.classify.optimizer import build_optimizer, lr_factor, set_learning_rate
from advcam.classify.settings import ClassifySettings
from advcam.models.batch_norm import freeze_batch_norm


class ClassifierModule(pl.LightningModule):
    """A classifier under training.

    Args:
        classifier: maps ``Float[n 3 H W]`` to scores ``Float[n K]``.
        head: the parameters that learn at ``head_lr_factor`` times the backbone's rate.
        frozen: the parameters that do not learn.
        settings: of the training.
        updates_per_epoch: of the learning rate's decay.
        updates_done: updates made before, by a training that was stopped.
    """

    def __init__(
        self,
        classifier: nn.Module,
        head: list[nn.Parameter],
        frozen: list[nn.Parameter],
        settings: ClassifySettings,
        updates_per_epoch: int,
        updates_done: int = 0,
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.head, self.settings = head, settings
        self.updates_per_epoch, self.updates_done = updates_per_epoch, updates_done
        self.passes_done = updates_done * settings.accumulate
        self.total_updates = settings.epochs * updates_per_epoch
        self.ranked = RankedScores()
        self.learning_rate = 0.0
        self.loss: Tensor | None = None
        self.per_class_ap: Tensor | None = None
        for parameter in frozen:
            parameter.requires_grad_(False)
        if settings.freeze_batch_norm:
            freeze_batch_norm(classifier)

    def on_fit_start(self) -> None:
        self.train()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        head = {id(parameter) for parameter in self.head}
        backbone = [parameter for parameter in self.classifier.parameters() if id(parameter) not in head]
        return build_optimizer(backbone, self.head, self.settings)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Dropout then depends on the place in the training alone, so a resumed training repeats the undisturbed one.
        key = (self.settings.seed, LAYERS, self.passes_done, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]))
        self.passes_done += 1

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, targets = batch
        loss = classification_loss(self.classifier(images), targets, self.settings.loss)
        # Lightning hands its callbacks the loss divided by the passes of an update.
        self.loss = loss.detach()
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        warmup = round(self.settings.warmup * self.total_updates)
        step = self.updates_done + self.global_step
        factor = lr_factor(step, self.total_updates, self.settings.poly_power, warmup)
        set_learning_rate(optimizer, factor)
        self.learning_rate = self.settings.lr * factor

    def validation_step(self, batches: list[Batch], batch_idx: int) -> None:
        for images, targets in batches:
            # Scores of 16 bits would have many ties.
            with torch.autocast(self.device.type, enabled=False):
                scores = self.classifier(images)
            self.ranked.update(scores.log_softmax(1) if self.settings.loss == "softmax" else scores, targets)

    def on_validation_epoch_end(self) -> None:
        self.per_class_ap = self.ranked.compute().cpu()
        self.ranked.reset()
