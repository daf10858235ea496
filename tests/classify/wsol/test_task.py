"""The training task: its items, groups, schedule and validation."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from wsol_networks import tiny

from advcam.classify.wsol.build import method_on
from advcam.classify.wsol.settings import METHODS, WSOLSettings
from advcam.classify.wsol.task import WSOLTask, training_crop
from advcam.data.record import Box, ImageSet, Record
from advcam.errors import DataError
from advcam.evaluate import max_box_acc
from advcam.evaluate.validation import BoxValidation

SETTINGS = WSOLSettings(method="cam", lr=0.1, batch_size=2, resize=40, crop=32, decay_every=2, layers=("0", "2"))


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    generator = np.random.default_rng(0)
    records = []
    for index in range(5):
        path = tmp_path / f"{index}.png"
        Image.fromarray(generator.integers(0, 255, (30, 50, 3), dtype=np.uint8)).save(path)
        label = index % 3
        records.append(Record(str(index), path, (label,), boxes=(Box(label, 5, 5, 40, 20), Box(2 - label, 0, 0, 9, 9))))
    return ImageSet(tmp_path, "a test", "train", ("a", "b", "c"), tuple(records))


def task_of(images: ImageSet, settings: WSOLSettings = SETTINGS) -> WSOLTask:
    network = method_on(tiny(tail=settings.method == "acol"), settings)
    return WSOLTask(network, images, images, settings, BoxValidation())


def test_items_belong_to_epoch_and_index(images: ImageSet) -> None:
    task = task_of(images)
    first, label = task.item(0, 4)
    assert (first.shape, first.dtype, label) == ((3, 32, 32), torch.float32, 1)
    assert torch.equal(task.item(0, 4)[0], first)
    assert not torch.equal(task.item(1, 4)[0], first)


def test_crops_are_cut_and_mirrored() -> None:
    image = np.arange(6 * 6 * 3, dtype=np.uint8).reshape(6, 6, 3)
    seen = {
        training_crop(image, 5, (0.0,) * 3, (1 / 255,) * 3, np.random.default_rng(seed))[0, 0, :2]
        .int()
        .numpy()
        .tobytes()
        for seed in range(60)
    }
    assert len(seen) == 8


def test_groups_and_steps_of_the_learning_rate(images: ImageSet) -> None:
    task = task_of(images)
    slow, fast = task.parameter_groups()
    assert (slow["lr"], fast["lr"], slow["nesterov"]) == (0.1, 1.0, True)
    assert {id(p) for p in fast["params"]} == {id(p) for p in task.method.classifier.head.parameters()}
    # Two updates an epoch; the epochs are counted from 1, and the second and the fourth begin with a step.
    assert [round(task.lr_factor(update, 10), 6) for update in range(8)] == [1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01]
    adam = task_of(images, replace(SETTINGS, optimizer="adamw"))
    assert "nesterov" not in adam.parameter_groups()[0]


def test_validation_is_the_benchmarks_and_processes_add_up(images: ImageSet) -> None:
    task = task_of(images)
    task.network.eval()
    with torch.no_grad():
        total = task.validate(0, 1)
        shares = [task.validate(rank, 3) for rank in range(3)] + [task.validate(6, 7)]
    torch.testing.assert_close(sum(shares), total)
    scores = task.scores(total)
    with torch.no_grad():
        inputs = torch.stack([task_input(task, record) for record in images.records])
        classes = torch.tensor([record.classes[0] for record in images.records])
        maps, logits = task.method.score_maps(inputs, classes)
    # Only the boxes of an image's own class count.
    boxes = [[(b.x0, b.y0, b.x1, b.y1) for b in r.boxes if b.class_index in r.classes] for r in images.records]
    expected = max_box_acc(maps, boxes, [(50, 30)] * 5, classified=(logits.argmax(dim=1) == classes).tolist())
    assert scores["boxes"] == pytest.approx(expected.mean)
    assert scores["top1_cls"] == pytest.approx(expected.top1_cls)
    assert scores["top1_loc"] == pytest.approx(expected.top1_loc)
    assert [scores[f"box_acc_{delta}"] for delta in (30, 50, 70)] == pytest.approx(list(expected.v2.values()))


def task_input(task: WSOLTask, record: Record) -> torch.Tensor:
    with Image.open(record.image) as image:
        resized = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR)) / 255
    return torch.from_numpy((resized - task.mean) / task.std).permute(2, 0, 1).float()


@pytest.mark.parametrize("method", METHODS)
def test_a_task_can_go_to_another_process(method: str, images: ImageSet) -> None:
    task = task_of(images, replace(SETTINGS, method=method))
    again = pickle.loads(pickle.dumps(task))
    batch = (torch.randn(2, 3, 32, 32), torch.tensor([0, 2]))
    losses = []
    for one in (task, again):
        torch.manual_seed(3)
        losses.append(float(one.loss(batch, 0, 1)["loss"]))
    assert losses[0] == losses[1]


def test_other_classes_in_val(images: ImageSet) -> None:
    other = replace(images, class_names=("a", "b", "d"))
    with pytest.raises(DataError, match="have other classes"):
        WSOLTask(method_on(tiny(), SETTINGS), images, other, SETTINGS)
