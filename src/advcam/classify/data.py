"""Training and validation images as batches, for one process or several, the same whichever way they are read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import lightning.pytorch as pl
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from advcam.classify.augment import augment
from advcam.classify.settings import ClassifySettings
from advcam.data.images import read_image
from advcam.data.record import ImageSet, Record
from advcam.data.transforms import normalize, resize_long_side
from advcam.errors import DataError, SettingsError, UserError

Batch = tuple[Tensor, Tensor]
Item = Batch | UserError

# Set apart the random numbers of the order, of the augmentation and of the network's layers.
ORDER, AUGMENTATION, LAYERS = 0, 1, 2


def targets_of(classes: Sequence[int], num_classes: int) -> Float[Tensor, " K"]:
    """1 for each class of an image, 0 for the others.

    >>> targets_of((0, 2), 3)
    tensor([1., 0., 1.])
    """
    targets = torch.zeros(num_classes)
    targets[list(classes)] = 1
    return targets


class TrainingImages(Dataset[Item]):
    """Augmented training images by ``(epoch, index)``: the view depends on the seed and on these two alone."""

    def __init__(
        self, image_set: ImageSet, mean: Sequence[float], std: Sequence[float], settings: ClassifySettings
    ) -> None:
        self.records = image_set.records
        self.num_classes = len(image_set.class_names)
        self.mean, self.std, self.settings = tuple(mean), tuple(std), settings

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: tuple[int, int]) -> Item:
        epoch, index = key
        record = self.records[index]
        generator = np.random.default_rng((self.settings.seed, AUGMENTATION, epoch, index))
        # A worker's exception would arrive as its traceback; as a value it arrives whole, and is raised on arrival.
        try:
            image = read_image(record.image)
        except UserError as error:
            return error
        return augment(image, self.mean, self.std, self.settings, generator), targets_of(
            record.classes, self.num_classes
        )


class ValidationImages(Dataset[Item]):
    """Whole images, resized to ``settings.val_long_side``, every ``of``-th one from ``first``."""

    def __init__(
        self,
        image_set: ImageSet,
        mean: Sequence[float],
        std: Sequence[float],
        settings: ClassifySettings,
        first: int = 0,
        of: int = 1,
    ) -> None:
        self.records: tuple[Record, ...] = image_set.records[first::of]
        self.num_classes = len(image_set.class_names)
        self.mean, self.std, self.settings = tuple(mean), tuple(std), settings

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Item:
        record = self.records[index]
        try:
            image = resize_long_side(read_image(record.image), self.settings.val_long_side)
        except UserError as error:
            return error
        return torch.from_numpy(normalize(image, self.mean, self.std)), targets_of(record.classes, self.num_classes)


class TrainingBatches(Sampler[list[tuple[int, int]]]):
    """The passes of one epoch, as lists of ``(epoch, index)``, from update ``first_update`` on.

    The order of an epoch depends on the seed and the epoch alone. An update's ``batch_size`` images are split over
    ``accumulate`` passes, and each pass over ``world_size`` processes; what remains after the last whole update is
    left out, as in IRN.

    >>> batches = TrainingBatches(5, ClassifySettings(batch_size=2), epoch=0)
    >>> len(batches), sorted(index for batch in batches for _, index in batch)
    (2, [0, 2, 3, 4])
    """

    def __init__(
        self,
        num_images: int,
        settings: ClassifySettings,
        epoch: int,
        first_update: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.epoch = epoch
        passes = settings.accumulate
        order = np.random.default_rng((settings.seed, ORDER, epoch)).permutation(num_images)
        whole = num_images // settings.batch_size * settings.batch_size
        self.passes = order[:whole].reshape(-1, settings.batch_size // passes)[
            first_update * passes :, rank::world_size
        ]

    def __len__(self) -> int:
        return len(self.passes)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for indices in self.passes:
            yield [(self.epoch, int(index)) for index in indices]


class ClassificationData(pl.LightningDataModule):
    """The batches of a training, which may begin after ``updates_done`` updates, and of its validation.

    Args:
        train, val: labelled images; without ``val`` there is no validation.
        mean, std: of the network's input.
        settings: as for ``train_classifier``.

    Raises:
        SettingsError: fewer images than a batch holds, or a batch that the processes cannot share equally.
        DataError: there is no label at all; ``train`` and ``val`` have other classes; or the loss is softmax and an
            image does not have exactly one class.
    """

    def __init__(
        self,
        train: ImageSet,
        val: ImageSet | None,
        mean: Sequence[float],
        std: Sequence[float],
        settings: ClassifySettings,
        updates_done: int = 0,
    ) -> None:
        super().__init__()
        check_labels(train, val, settings)
        self.train_set, self.val_set, self.mean, self.std, self.settings = train, val, mean, std, settings
        self.updates_done = updates_done
        self.updates_per_epoch = len(train) // settings.batch_size

    def train_dataloader(self) -> DataLoader:
        assert self.trainer is not None
        settings, world_size = self.settings, self.trainer.world_size
        if settings.batch_size % (settings.accumulate * world_size):
            raise SettingsError(
                f"batch_size {settings.batch_size} cannot be shared equally by accumulate={settings.accumulate} passes "
                f"on {world_size} devices: choose a multiple of {settings.accumulate * world_size}"
            )
        start, first_update = divmod(self.updates_done, self.updates_per_epoch)
        epoch = self.trainer.current_epoch
        batches = TrainingBatches(
            len(self.train_set),
            settings,
            epoch=start + epoch,
            first_update=first_update if epoch == 0 else 0,
            rank=self.trainer.global_rank,
            world_size=world_size,
        )
        images = TrainingImages(self.train_set, self.mean, self.std, settings)
        return DataLoader(
            images, batch_sampler=batches, collate_fn=_stack, num_workers=self._workers(), pin_memory=self._pin()
        )

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        assert self.trainer is not None
        if self.val_set is None:
            return []
        images = ValidationImages(
            self.val_set, self.mean, self.std, self.settings, self.trainer.global_rank, self.trainer.world_size
        )
        return DataLoader(
            images,
            batch_size=self.settings.batch_size,
            collate_fn=_stack_equal_sizes,
            num_workers=self._workers(),
            pin_memory=self._pin(),
        )

    def on_before_batch_transfer(
        self, batch: Batch | list[Batch] | UserError, dataloader_idx: int
    ) -> Batch | list[Batch]:
        if isinstance(batch, UserError):
            raise batch
        return batch

    def _workers(self) -> int:
        if self.settings.workers is not None:
            return self.settings.workers
        assert self.trainer is not None
        return max(0, min(8, (os.cpu_count() or 1) // self.trainer.num_devices - 1))

    def _pin(self) -> bool:
        assert self.trainer is not None
        return self.trainer.strategy.root_device.type == "cuda"


def check_labels(train: ImageSet, val: ImageSet | None, settings: ClassifySettings) -> None:
    """Refuse labels from which nothing can be learnt; see ``ClassificationData`` for what is raised."""
    if not train.records or not any(record.classes for record in train.records):
        raise DataError(f"{train.root}: none of the {len(train)} training images has a class: check the label file")
    if len(train) < settings.batch_size:
        raise SettingsError(
            f"batch_size is {settings.batch_size}, but {train.root} has only {len(train)} training images: "
            f"set batch_size to at most {len(train)}"
        )
    if val is not None and val.class_names != train.class_names:
        raise DataError(
            f"{val.root}: the validation images have the classes {', '.join(val.class_names)}, "
            f"but the training images have {', '.join(train.class_names)}: give both the same list of classes"
        )
    if settings.loss == "softmax":
        for record in (*train.records, *(val.records if val is not None else ())):
            if len(record.classes) != 1:
                raise DataError(
                    f"{record.id}: the image has {len(record.classes)} classes, but the loss softmax needs exactly one "
                    "in every image: choose the loss multilabel_soft_margin"
                )


def untrained_classes(train: ImageSet) -> tuple[str, ...]:
    """The classes that no training image has."""
    seen = {index for record in train.records for index in record.classes}
    return tuple(name for index, name in enumerate(train.class_names) if index not in seen)


def prevalence(image_set: ImageSet) -> dict[str, float]:
    """For each class the fraction of the images that have it: the average precision of a random ranking."""
    counts = [
        sum(index in record.classes for record in image_set.records) for index in range(len(image_set.class_names))
    ]
    return {name: count / len(image_set) for name, count in zip(image_set.class_names, counts, strict=True)}


def _stack(items: list[Item]) -> Item:
    """One batch; or the first error among its images."""
    images, targets = [], []
    for item in items:
        if isinstance(item, UserError):
            return item
        images.append(item[0])
        targets.append(item[1])
    return torch.stack(images), torch.stack(targets)


def _stack_equal_sizes(items: list[Item]) -> list[Batch] | UserError:
    """Images of one size go through the network together; padding would move the pooled scores."""
    groups: dict[torch.Size, list[Item]] = {}
    for item in items:
        if isinstance(item, UserError):
            return item
        groups.setdefault(item[0].shape, []).append(item)
    batches = [_stack(group) for group in groups.values()]
    assert not any(isinstance(batch, UserError) for batch in batches)
    return batches  # type: ignore[return-value]
