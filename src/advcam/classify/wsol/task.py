"""The training of a localization method as a task of the common trainer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, nn

from advcam.classify.wsol.method import LocalizationMethod
from advcam.classify.wsol.places import fast_parameters
from advcam.classify.wsol.settings import WSOLSettings
from advcam.data.images import read_image
from advcam.data.record import ImageSet, Record
from advcam.data.transforms import normalize
from advcam.errors import DataError
from advcam.training.items import in_batches
from advcam.training.task import Task


class WSOLTask(Task):
    """A method, its training images and the validation by boxes.

    Args:
        train: images with one class each.
        val: images with one class each, to measure on; or None.
        measure: of the boxes of ``val``; None measures the classes alone.
    """

    settings: WSOLSettings

    def __init__(
        self,
        network: nn.Module,
        train: ImageSet,
        val: ImageSet | None,
        settings: WSOLSettings,
        measure: BoxMeasure | None = None,
    ) -> None:
        super().__init__(network, settings)
        check_single_class(train)
        if val is not None:
            check_single_class(val)
            if val.class_names != train.class_names:
                raise DataError(
                    f"{val.root}: the validation images have other classes than {train.root}: give both one list"
                )
        assert isinstance(network, LocalizationMethod)
        self.method: LocalizationMethod = network
        self.train_records = train.records
        self.val_records = () if val is None else val.records
        self.measure = measure if self.val_records else None
        self.mean, self.std = network.classifier.mean, network.classifier.std
        self.per_epoch = max(1, len(train) // settings.batch_size)
        self._fast = fast_parameters(network)
        if self.val_records:
            self.score_name = "boxes" if self.measure is not None else "top1_cls"

    def __len__(self) -> int:
        return len(self.train_records)

    def item(self, epoch: int, index: int) -> tuple[Tensor, int]:
        record, generator = self.train_records[index], self.generator(epoch, index)
        image = square(read_image(record.image), self.settings.resize)
        return training_crop(image, self.settings.crop, self.mean, self.std, generator), record.classes[0]

    def loss(self, batch: Any, update: int, total: int) -> dict[str, Tensor]:
        images, labels = batch
        return self.method.loss(images, labels)

    def parameter_groups(self) -> list[dict[str, Any]]:
        settings, groups = self.settings, []
        for fast in (False, True):
            own = [p for name, p in self.network.named_parameters() if (name in self._fast) == fast and p.requires_grad]
            rate = settings.lr * (settings.head_lr_factor if fast else 1.0)
            group: dict[str, Any] = {"params": own, "lr": rate}
            if settings.optimizer == "sgd" and settings.momentum:
                group["nesterov"] = settings.nesterov
            groups.append(group)
        return [group for group in groups if group["params"]]

    def lr_factor(self, update: int, total: int) -> float:
        steps = steps_until(1 + update // self.per_epoch, self.settings)
        return super().lr_factor(update, total) * self.settings.decay**steps

    def validate(self, rank: int, world: int) -> Tensor | None:
        if not self.val_records:
            return None
        right, measure = 0, None if self.measure is None else self.measure.fresh()
        records = self.val_records[rank::world]
        device = next(self.network.parameters()).device
        read = partial(whole_square, side=self.settings.crop, mean=self.mean, std=self.std)
        remaining = iter(records)
        for pictures in in_batches(records, read, self.settings.batch_size, self.settings.workers, world):
            batch = list(islice(remaining, len(pictures)))
            sizes, images = [size for size, _ in pictures], torch.stack([image for _, image in pictures])
            classes = torch.tensor([record.classes[0] for record in batch], device=device)
            maps, logits = self.method.score_maps(images.to(device), classes)
            found = (logits.argmax(dim=1) == classes).tolist()
            right += sum(found)
            if measure is not None:
                for record, score_map, size, correct in zip(batch, maps, sizes, found, strict=True):
                    measure.add(record, score_map, size, correct)
        counts = torch.tensor([len(records), right], dtype=torch.float64)
        return counts if measure is None else torch.cat([counts, measure.sums()])

    def scores(self, total: Tensor) -> dict[str, float]:
        count = int(total[0])
        found = {"top1_cls": 100 * float(total[1]) / count}
        return found if self.measure is None else found | self.measure.scores(total[2:], count)


@runtime_checkable
class BoxMeasure(Protocol):
    """How maps are held against boxes; ``advcam.evaluate.validation`` has it."""

    def fresh(self) -> BoxMeasure: ...

    def add(self, record: Record, score_map: Float[Tensor, "h w"], size: tuple[int, int], classified: bool) -> None: ...

    def sums(self) -> Float[Tensor, " s"]: ...

    def scores(self, total: Float[Tensor, " s"], images: int) -> dict[str, float]: ...


def check_single_class(images: ImageSet) -> None:
    """Raise DataError unless every image has exactly one class."""
    for record in images.records:
        if len(record.classes) != 1:
            raise DataError(
                f"{record.image}: the image has {len(record.classes)} classes, but localization with wsol.method needs "
                "exactly one in every image: correct its label, or leave wsol.method at none"
            )


def steps_until(epoch: int, settings: WSOLSettings) -> int:
    """How often the learning rate was lowered by the beginning of an epoch, counted from 1.

    >>> [steps_until(epoch, WSOLSettings(decay_every=3)) for epoch in (1, 2, 3, 5, 6)]
    [0, 0, 1, 1, 2]
    >>> [steps_until(epoch, WSOLSettings(decay_at=(41, 61))) for epoch in (40, 41, 70)]
    [0, 1, 2]
    """
    if settings.decay_at:
        return sum(at <= epoch for at in settings.decay_at)
    return 0 if settings.decay_every is None else epoch // settings.decay_every


def square(image: UInt8[np.ndarray, "H W 3"], side: int) -> UInt8[np.ndarray, "{side} {side} 3"]:
    """The whole picture as a square, by Pillow's bilinear filter: its proportions are not kept."""
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))


def training_crop(
    image: UInt8[np.ndarray, "s s 3"],
    crop: int,
    mean: Sequence[float],
    std: Sequence[float],
    generator: np.random.Generator,
) -> Float[Tensor, "3 {crop} {crop}"]:
    """A random crop of a square, mirrored half of the time, as the network's input."""
    top, left = generator.integers(0, len(image) - crop + 1, size=2)
    cut = image[top : top + crop, left : left + crop]
    if generator.random() < 0.5:
        cut = cut[:, ::-1]
    return torch.from_numpy(normalize(cut, mean, std))


def whole_square(
    record: Record, side: int, mean: Sequence[float], std: Sequence[float]
) -> tuple[tuple[int, int], Float[Tensor, "3 {side} {side}"]]:
    """The size (height, width) of an image, and the whole of it as a square in the network's input space."""
    picture = read_image(record.image)
    return picture.shape[:2], torch.from_numpy(normalize(square(picture, side), mean, std))
