"""Items that depend on seed, epoch and image alone, whole images for validation, and labels that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from advcam.classify import ClassifySettings
from advcam.classify.targets import prevalence, untrained_classes
from advcam.classify.task import ClassifierTask
from advcam.classify.validation import own_scores, whole_image
from advcam.data.record import ImageSet, Record
from advcam.errors import DataError, SettingsError
from advcam.models import BackboneSettings, Classifier, build_classifier

BACKBONE = BackboneSettings("timm/test_resnet", weights=None)
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


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(0)
    return build_classifier(BACKBONE, 3).eval()


def test_a_view_depends_on_seed_epoch_and_image_alone(tmp_path: Path, classifier: Classifier) -> None:
    images = image_set(tmp_path, [(0,), (1, 2), (0,), (0,)])
    task = ClassifierTask(classifier, images, None, SMALL)
    view, targets = task.item(0, 1)
    assert view.shape == (3, 16, 16)
    assert targets.tolist() == [0.0, 1.0, 1.0]
    task.item(0, 0)
    assert torch.equal(task.item(0, 1)[0], view)
    assert not torch.equal(task.item(1, 1)[0], view)


def test_the_head_learns_faster(tmp_path: Path, classifier: Classifier) -> None:
    task = ClassifierTask(classifier, image_set(tmp_path, [(0,)] * 4), None, SMALL)
    assert [group["lr"] for group in task.parameter_groups()] == [0.1, 1.0]
    assert task.parameter_groups()[1]["params"] == [classifier.head.weight]


def test_validation_images_are_whole_and_shared_out(tmp_path: Path, classifier: Classifier) -> None:
    val = image_set(tmp_path, [(0,), (1,), (2,), (0,), (1,)])
    shapes = [whole_image(record, (0.5,) * 3, (0.5,) * 3, 32).shape for record in val.records[:2]]
    assert shapes == [(3, 20, 32), (3, 24, 32)]
    shares = [own_scores(classifier, val, SMALL, rank, 2) for rank in range(2)]
    assert (shares[0][[1, 3]] == 0).all()
    alone = own_scores(classifier, val, ClassifySettings(batch_size=1, val_long_side=16, workers=0))
    torch.testing.assert_close(sum(shares), alone, rtol=1e-4, atol=1e-5)


def test_labels_that_cannot_be_learnt(tmp_path: Path, classifier: Classifier) -> None:
    def refuse(kind: type[Exception], message: str, train: ImageSet, val: ImageSet | None, **values: object) -> None:
        settings = ClassifySettings(batch_size=2, **values)  # type: ignore[arg-type]
        with pytest.raises(kind, match=message):
            ClassifierTask(classifier, train, val, settings)

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
