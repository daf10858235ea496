"""How a classifier is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from advcam.bounds import check
from advcam.errors import SettingsError
from advcam.training.settings import FitSettings


@dataclass(frozen=True)
class ClassifySettings(FitSettings):
    """Training of a classifier on class labels. The defaults are those of IRN, whose classifier AdvCAM builds on.

    Networks without batch norm, or with batch norm folded into the convolutions, learn better with
    ``optimizer="adamw"``, an ``lr`` of 3e-4 and a ``warmup`` of 0.1.
    """

    section: ClassVar[str] = "classify."

    method: Literal["plain", "seam", "sub_categories"] = "plain"
    """"plain": the loss alone; "seam": class maps that agree over sizes and are refined (SEAM); "sub_categories":
    rounds of clustering and training (SC-CAM). ``attribute.map`` of the same name then shows their maps."""
    epochs: int = 5
    """Passes over the training images (IRN: 5)."""
    batch_size: int = 16
    """Images per update, over all devices together (IRN: 16). A last, smaller batch is left out."""
    loss: Literal["multilabel_soft_margin", "softmax"] = "multilabel_soft_margin"
    """"multilabel_soft_margin", the mean over classes of the sigmoid cross-entropy, for images with any number of
    classes (the paper's segmentation classifiers); "softmax" for exactly one class per image (its localization
    classifiers)."""
    lr: float = 0.1
    """Learning rate of the backbone before its decay (IRN: 0.1)."""
    head_lr_factor: float = 10.0
    """Learning rate of the head, as a multiple of ``lr`` (IRN: 10)."""
    weight_decay: float = 1e-4
    """Of all parameters that learn (IRN: 1e-4)."""
    momentum: float | None = None
    """Of "sgd" (IRN's paper: 0.9). None takes the value of ``weight_decay``, as IRN's program does: it hands the weight
    decay to the parameter that means the momentum, so that there is practically none."""
    freeze: str | None = "stem"
    """The part of the backbone up to which nothing learns, that part included: "stem", the first convolution and its
    normalization (the AdvCAM program); the library's name of a part, such as "layer2" of a ResNet (IRN) or
    "features.3" of torchvision's MobileNetV2; or None."""
    freeze_batch_norm: bool = True
    """Batch norm keeps its stored statistics while training, its scale and shift learn (IRN: True). False for networks
    that start from random weights."""
    long_side: tuple[int, int] = (320, 640)
    """Least and greatest length in pixels of the longer side after the random resizing (IRN: 320, 640)."""
    crop: int = 512
    """Side in pixels of the square random crop, filled with the mean colour where the image ends (IRN: 512)."""
    flip: bool = True
    """Mirror every second image, on average (IRN: True)."""
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Limits of random changes of brightness, contrast, saturation and hue (PSA, SEAM, SC-CAM: 0.3, 0.3, 0.3, 0.1)."""
    val_long_side: int = 512
    """Longer side in pixels of the images for validation, which are seen whole (IRN: the image's own, about 500 in
    VOC)."""
    checkpoint_seconds: float = 60.0
    """Time between two savings of the training state, from which a stopped training goes on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(**dict.fromkeys(("crop", "val_long_side"), "[1, inf)"), head_lr_factor="(0, inf)", jitter="[0, inf)")
        if self.momentum is not None and self.optimizer != "sgd":
            raise self.wrong("momentum", 'belongs to classify.optimizer "sgd": leave it null with the others')
        if self.jitter[3] > 0.5:
            raise self.wrong("jitter", "the last of its four numbers must be at most 0.5")
        if self.method != "plain" and self.loss != "multilabel_soft_margin":
            raise self.wrong("method", 'has a loss of its own: leave classify.loss at "multilabel_soft_margin"')
        if not 1 <= self.long_side[0] <= self.long_side[1]:
            raise self.wrong("long_side", "needs a least and a greatest length, such as (320, 640)")


@dataclass(frozen=True)
class SubCategorySettings:
    """The rounds of SC-CAM, for ``classify.method`` sub_categories. Each trains the network anew on what k-means found
    in the features of the one before; the first takes those of a plain classifier."""

    clusters: int = 10
    """Sub-categories of a class (SC-CAM: 10)."""
    weight: float = 5.0
    """Of the loss of the sub-categories beside that of the classes (SC-CAM: 5)."""
    rounds: tuple[float, ...] = (30 / 61, 40 / 61, 50 / 61)
    """One for each round: the part of ``classify.epochs`` after which it stops; learning rates fall as over all of
    them (SC-CAM: after 30, 40 and 50 of 61 epochs)."""
    features: str | None = None
    """A trained classifier's folder, whose features are clustered first; None trains a plain one with the same
    settings (SC-CAM: PSA's)."""

    def __post_init__(self) -> None:
        check(self, "sub_categories.", clusters="[1, inf)", weight="(0, inf)", rounds="(0, 1]")
        if not self.rounds:
            raise SettingsError("sub_categories.rounds is empty: name parts of the epochs, one for each round")
