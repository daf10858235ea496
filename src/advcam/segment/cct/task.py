"""The training of CCT as the trainer sees it: its items, its loss, its validation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from advcam.data.images import read_image
from advcam.data.masks import IGNORE, read_mask, voc_palette
from advcam.data.record import ImageSet, Record
from advcam.errors import SettingsError
from advcam.evaluate import ConfusionMatrix, SegmentationScores
from advcam.segment.cct.augment import augment
from advcam.segment.cct.data import SemiSupervised
from advcam.segment.cct.network import CCTNetwork, CCTTraining
from advcam.segment.cct.objective import Batch, objective, weights_at
from advcam.segment.cct.settings import CCTSettings
from advcam.segment.inference import Segmenter
from advcam.training.task import AUGMENTATION, Task

# Apart from the order of the items and from their augmentation.
_LABELLED_ORDER = 17


class CCTTask(Task):
    """CCT on images with and without masks.

    An item is one image without a mask and one with; over an epoch each image without is seen once, and those with
    equally often.

    Args:
        network: with its backbone's first weights.
        data: the images.
        val: images with masks to validate on; None for no validation.
        settings: of the training.
        mean, std: of the input.
        samples: validation images whose prediction is drawn at each validation.

    Raises:
        SettingsError: a crop that is no multiple of the network's stride.
    """

    score_name = "mIoU"

    def __init__(
        self,
        network: CCTNetwork,
        data: SemiSupervised,
        val: ImageSet | None,
        settings: CCTSettings,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        samples: int = 4,
    ) -> None:
        if settings.crop % network.stride:
            raise SettingsError(
                f"cct.crop is {settings.crop}, which is no multiple of the output stride of {network.stride}: take "
                f"{settings.crop // network.stride * network.stride or network.stride}"
            )
        super().__init__(CCTTraining(network, settings), settings)
        self.cct, self.data, self.val, self.samples = settings, data, val, samples
        self.segmenter = Segmenter(network, data.class_names, mean, std, align_corners=True)
