"""What a segmentation network is measured on while it is trained."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64, UInt8
from torch import Tensor, nn

from advcam.data.images import read_image
from advcam.data.masks import read_mask, resized_labels, voc_palette
from advcam.data.record import ImageSet, Record
from advcam.data.transforms import resize_long_side
from advcam.evaluate import ConfusionMatrix, SegmentationScores
from advcam.segment.data import read_pair
from advcam.segment.inference import Segmenter
from advcam.segment.settings import InferenceSettings
from advcam.training.settings import FitSettings
from advcam.training.task import Task

SAMPLE_SIDE = 320


class SegmentationTask(Task):
    """A training of ``segmenter.network``, or of more around it, with ``validation`` while it lasts."""

    def __init__(
        self, network: nn.Module, settings: FitSettings, segmenter: Segmenter, validation: Validation | None
    ) -> None:
        super().__init__(network, settings)
        self.segmenter, self.validation = segmenter, validation
        self.score_name = None if validation is None else "mIoU"

    def validate(self, rank: int, world: int) -> Tensor | None:
        return None if self.validation is None else self.validation.confusion(self.segmenter, rank, world)

    def scores(self, total: Tensor) -> dict[str, float]:
        assert self.validation is not None
        return self.validation.scores(total)

    def pictures(self) -> dict[str, UInt8[np.ndarray, "_ _ 3"]]:
        return {} if self.validation is None else self.validation.pictures(self.segmenter)


@dataclass(frozen=True)
class Validation:
    """Whole images with ground truth.

    Attributes:
        images: those without a mask do not count.
        samples: so many of them, spread evenly, are drawn.
        settings: of the inference.
    """

    images: ImageSet
    samples: int = 4
    settings: InferenceSettings = field(default_factory=InferenceSettings)

    def confusion(self, segmenter: Segmenter, rank: int = 0, world: int = 1) -> Float64[Tensor, "K K"]:
        """Pixel counts, row = ground truth, column = prediction, of every ``world``-th image from ``rank`` on."""
        matrix = ConfusionMatrix(segmenter.num_labels)
        for record in self._masked[rank::world]:
            image, truth = read_pair(record, len(segmenter.class_names))
            matrix.update(segmenter(image, self.settings), truth, record.id)
        return matrix.counts.double()

    def scores(self, counts: Float64[Tensor, "K K"]) -> dict[str, float]:
        """The mIoU of all counts."""
        return {"mIoU": SegmentationScores(counts.round().long(), len(self._masked)).miou}

    def pictures(self, segmenter: Segmenter) -> dict[str, UInt8[np.ndarray, "_ _ 3"]]:
        """Image, prediction and ground truth side by side, of some images, by their number."""
        masked, drawn = self._masked, {}
        for number in range(min(self.samples, len(masked))):
            record = masked[number * len(masked) // self.samples]
            image = resize_long_side(read_image(record.image), SAMPLE_SIDE)
            truth = resized_labels(read_mask(record, num_classes=len(segmenter.class_names)), image.shape[:2])
            coloured = [voc_palette()[mask] // 2 + image // 2 for mask in (segmenter(image, self.settings), truth)]
            drawn[f"{number}"] = np.concatenate([image, *coloured], axis=1)
        return drawn

    @property
    def _masked(self) -> list[Record]:
        return [record for record in self.images.records if record.mask is not None]
