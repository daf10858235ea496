"""Batches: the same images in the same views however they are shared out, and labels that are refused."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from advcam.classify import ClassifySettings
from advcam.classify.data import (
    ClassificationData,
    TrainingBatches,
    TrainingImages,
    ValidationImages,
    prevalence,
    untrained_classes,
)
from advcam.data.record import ImageSet, Record
from advcam.errors import DataError, SettingsError

MEAN, STD = (0.5,) * 3, (0.5,) * 3
SMALL = ClassifySettings(batch_size=4, long_side=(12, 20), crop=16, val_long_side=16, workers=0)


def image_set(
    folder: Path, classes: list[tuple[int, ...]], names: tuple[str, ...] = ("cat", "dog", "sofa")
) -> ImageSet:
    folder.mkdir(exist_ok=True)
    generator = np.random.default_rng(0)
    records = []
    for index, present in enumerate(classes):
        path = folder / f"{index}.png"
        shape = (10 + 2 * (index % 2), 16, 3)
        Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8)).save(path)
        records.append(Record(id=str(index), image=path, classes=present))
    return ImageSet(root=folder, format="folder", split=None, class_names=names, records=tuple(records))


def indices(batches: TrainingBatches) -> list[list[int]]:
    return [[index for _, index in batch] for batch in batches]


def test_an_epoch_is_a_permutation_without_the_last_partial_batch() -> None:
    batches = indices(TrainingBatches(10, SMALL, epoch=0))
    assert [len(batch) for batch in batches] == [4, 4]
    assert len({index for batch in batches for index in batch}) == 8
    assert batches != indices(TrainingBatches(10, SMALL, epoch=1))
    assert batches == indices(TrainingBatches(10, SMALL, epoch=0))


def test_passes_processes_and_later_starts_share_out_the_same_updates() -> None:
    whole = indices(TrainingBatches(20, SMALL, epoch=3))
    split = ClassifySettings(batch_size=4, accumulate=2)
    parts = [indices(TrainingBatches(20, split, epoch=3, rank=rank, world_size=2)) for rank in range(2)]
    for update, batch in enumerate(whole):
        shared = [index for part in parts for turn in part[2 * update : 2 * update + 2] for index in turn]
        assert sorted(shared) == sorted(batch)
    assert indices(TrainingBatches(20, SMALL, epoch=3, first_update=2)) == whole[2:]
    assert len(TrainingBatches(20, split, epoch=3, first_update=2)) == 6


def test_a_view_depends_on_seed_epoch_and_image_alone(tmp_path: Path) -> None:
    images = TrainingImages(image_set(tmp_path, [(0,), (1, 2)]), MEAN, STD, SMALL)
    view, targets = images[(0, 1)]
    assert targets.tolist() == [0.0, 1.0, 1.0]
    images[(0, 0)]
    assert torch.equal(images[(0, 1)][0], view)
    assert not torch.equal(images[(1, 1)][0], view)
    with_worker = DataLoader(images, batch_sampler=[[(0, 0), (0, 1)]], num_workers=1)
    assert torch.equal(next(iter(with_worker))[0][1], view)


def test_validation_images_are_whole_and_shared_out(tmp_path: Path) -> None:
    val = image_set(tmp_path, [(0,), (1,), (2,), (0,), (1,)])
    images = ValidationImages(val, MEAN, STD, ClassifySettings(val_long_side=32))
    assert images[0][0].shape == (3, 20, 32)
    assert images[1][0].shape == (3, 24, 32)
    shares = [ValidationImages(val, MEAN, STD, SMALL, first=rank, of=2) for rank in range(2)]
    assert [[record.id for record in share.records] for share in shares] == [["0", "2", "4"], ["1", "3"]]


def test_validation_batches_hold_one_size(tmp_path: Path) -> None:
    val = image_set(tmp_path, [(0,), (1,), (2,), (0,), (1,)])
    data = ClassificationData(val, val, MEAN, STD, SMALL)
    data.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    loader = data.val_dataloader()
    assert isinstance(loader, DataLoader)
    sizes = [[tuple(images.shape) for images, _ in batches] for batches in loader]
    assert sizes == [[(2, 3, 10, 16), (2, 3, 12, 16)], [(1, 3, 10, 16)]]


def test_labels_that_cannot_be_learnt(tmp_path: Path) -> None:
    def refuse(kind: type[Exception], message: str, train: ImageSet, val: ImageSet | None, **values: object) -> None:
        with pytest.raises(kind, match=message):
            ClassificationData(train, val, MEAN, STD, ClassifySettings(batch_size=2, **values))  # type: ignore[arg-type]

    good, several = image_set(tmp_path, [(0,), (1,), (2,)]), image_set(tmp_path, [(0,), (1,), (0, 1)])
    refuse(DataError, "none of the 3 training images has a class", image_set(tmp_path, [(), (), ()]), None)
    refuse(SettingsError, "batch_size is 2, but .* has only 1 training images", image_set(tmp_path, [(0,)]), None)
    refuse(DataError, "classes cat, dog, but the training", good, image_set(tmp_path, [(0,)], ("cat", "dog")))
    refuse(DataError, "2: the image has 2 classes, but the loss softmax", several, None, loss="softmax")
    refuse(DataError, "2: the image has 2 classes, but the loss softmax", good, several, loss="softmax")
    refuse(
        DataError,
        "1: the image has 0 classes, but the loss softmax",
        image_set(tmp_path, [(0,), ()]),
        None,
        loss="softmax",
    )


def test_classes_are_counted(tmp_path: Path) -> None:
    train = image_set(tmp_path, [(0,), (0, 2), (), (0,)])
    assert untrained_classes(train) == ("dog",)
    assert prevalence(train) == {"cat": 0.75, "dog": 0.0, "sofa": 0.25}
