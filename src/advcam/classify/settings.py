"""How a classifier is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from advcam.errors import SettingsError


@dataclass(frozen=True)
class ClassifySettings:
    """Training of a classifier on class labels. The defaults are those of IRN, whose classifier AdvCAM builds on.

    One update sees ``batch_size`` images however they are spread over passes (``accumulate``) and devices, so that
    the number of updates and the learning rate do not depend on the machine. Networks without batch norm, or with
    batch norm folded into the convolutions, learn better with ``optimizer="adamw"``, an ``lr`` of 3e-4 and a
    ``warmup`` of 0.1.

    Attributes:
        epochs: passes over the training images (IRN: 5).
        batch_size: images per update, over all devices together (IRN: 16). A last, smaller batch is left out.
        accumulate: forward and backward passes that an update's batch is split into; more of them need less memory.
        loss: "multilabel_soft_margin", the mean over classes of the sigmoid cross-entropy, for images with any
            number of classes (the paper's segmentation classifiers); "softmax" for exactly one class per image
            (its localization classifiers).
        optimizer: "sgd" as IRN has it, or "adamw".
        lr: learning rate of the backbone before its decay (IRN: 0.1).
        head_lr_factor: learning rate of the head, as a multiple of ``lr`` (IRN: 10).
        weight_decay: of all parameters that learn (IRN: 1e-4).
        momentum: of "sgd". None takes the value of ``weight_decay``, as IRN's program and those derived from it do:
            they hand the weight decay to the parameter that means the momentum, so that there is practically none.
            Their papers say 0.9.
        poly_power: exponent of the decay ``(1 - s / S) ** poly_power`` over the S updates (IRN: 0.9).
        warmup: fraction of the updates over which the learning rate also rises linearly from zero (IRN: 0).
        gradient_clip: largest L2 norm of all gradients together, or None for no limit (IRN: None).
        freeze: the part of the backbone up to which nothing learns, that part included: "stem", the first convolution
            and its normalization (the AdvCAM program); the library's name of a part, such as "layer2" of a ResNet
            (IRN) or "features.3" of torchvision's MobileNetV2; or None.
        freeze_batch_norm: batch norm keeps its stored statistics while training, its scale and shift learn (IRN:
            True). False for networks that start from random weights.
        long_side: least and greatest length in pixels of the longer side after the random resizing (IRN: 320, 640).
        crop: side in pixels of the square random crop, filled with the mean colour where the image ends (IRN: 512).
        flip: mirror every second image, on average (IRN: True).
        val_long_side: longer side in pixels of the images for validation, which are seen whole (IRN: the image's
            own, about 500 in VOC).
        keep: the weights that become the classifier: those after the "last" epoch (IRN), or of the epoch with the
            "best" validation mAP.
        precision: "auto" is "32" on a CPU and "bf16" (where missing, "16") on a GPU; "16" is for GPUs alone.
        workers: processes that read images; None chooses by the number of CPU cores. Changes no number.
        checkpoint_seconds: time between two savings of the training state, from which a stopped training goes on.
        seed: of the order of the images, the augmentation, and the network's own random layers.

    >>> ClassifySettings(optimizer="adamw", lr=3e-4, warmup=0.1).head_lr_factor
    10.0
    """

    epochs: int = 5
    batch_size: int = 16
    accumulate: int = 1
    loss: Literal["multilabel_soft_margin", "softmax"] = "multilabel_soft_margin"
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.1
    head_lr_factor: float = 10.0
    weight_decay: float = 1e-4
    momentum: float | None = None
    poly_power: float = 0.9
    warmup: float = 0.0
    gradient_clip: float | None = None
    freeze: str | None = "stem"
    freeze_batch_norm: bool = True
    long_side: tuple[int, int] = (320, 640)
    crop: int = 512
    flip: bool = True
    val_long_side: int = 512
    keep: Literal["last", "best"] = "last"
    precision: Literal["auto", "32", "bf16", "16"] = "auto"
    workers: int | None = None
    checkpoint_seconds: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "crop", "val_long_side"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}, but must be at least 1")
        for name in ("lr", "head_lr_factor", "checkpoint_seconds"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} is {getattr(self, name)}, but must be greater than 0")
        for name in ("weight_decay", "poly_power"):
            if not getattr(self, name) >= 0:
                raise SettingsError(f"{name} is {getattr(self, name)}, but must not be negative")
        if not 0 <= self.warmup < 1:
            raise SettingsError(f"warmup is {self.warmup}, but is a fraction of the training: from 0 to below 1")
        if self.momentum is not None and not 0 <= self.momentum < 1:
            raise SettingsError(f"momentum is {self.momentum}, but must be from 0 to below 1, or null for IRN's value")
        if self.momentum is not None and self.optimizer != "sgd":
            raise SettingsError('momentum belongs to optimizer "sgd": leave it null with "adamw"')
        if self.gradient_clip is not None and not self.gradient_clip > 0:
            raise SettingsError(f"gradient_clip is {self.gradient_clip}, but must be greater than 0, or null")
        if self.workers is not None and self.workers < 0:
            raise SettingsError(f"workers is {self.workers}, but must be 0 or more, or null to choose it")
        if self.seed < 0:
            raise SettingsError(f"seed is {self.seed}, but must be 0 or greater")
        if not 1 <= self.long_side[0] <= self.long_side[1]:
            raise SettingsError(
                f"long_side is {tuple(self.long_side)}, but needs a least and a greatest length, such as (320, 640)"
            )
        if self.batch_size % self.accumulate:
            raise SettingsError(
                f"batch_size {self.batch_size} cannot be split into accumulate={self.accumulate} equal parts: "
                "choose a divisor"
            )
