"""The training of DeepLab-v2: what learns at which rate, what stays, that a stopped training ends like another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from advcam.data.masks import write_mask
from advcam.data.record import ImageSet, Record
from advcam.errors import SettingsError
from advcam.segment.settings import SegmentSettings
from advcam.segment.task import DeepLabTask, start_deeplab
from advcam.segment.validation import Validation
from advcam.training import FitResult, fit

SMALL = SegmentSettings(
    method="deeplab",
    architecture="timm/test_resnet",
    weights=None,
    output_stride=16,
    rates=(1, 2),
    pyramid=(0.5,),
    crop=32,
    batch_size=2,
    updates=4,
    lr=0.01,
    scales=(0.75, 1.0),
    freeze_batch_norm=False,
    validate_every=2,
    workers=0,
)


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """Six pictures with a bright square of class 1 on dark noise."""
    root, records = tmp_path_factory.mktemp("squares"), []
    for index in range(6):
        generator = np.random.default_rng(index)
        image = generator.integers(0, 60, (40, 48, 3), dtype=np.uint8)
        mask = np.zeros((40, 48), np.uint8)
        mask[8:28, 6 + index : 30] = 1
        image[mask == 1] += 180
        Image.fromarray(image).save(root / f"{index}.png")
        write_mask(root / "masks" / f"{index}.png", mask)
        records.append(Record(str(index), root / f"{index}.png", (0,), root / "masks" / f"{index}.png"))
    return ImageSet(root, "test", "train", ("square",), tuple(records))


def task_of(squares: ImageSet, settings: SegmentSettings = SMALL) -> DeepLabTask:
    torch.manual_seed(3)
    segmenter, _ = start_deeplab(settings, squares.class_names)
    return DeepLabTask(segmenter, squares, settings, Validation(squares, samples=1))


def train(squares: ImageSet, folder: Path, settings: SegmentSettings = SMALL, **more) -> tuple[DeepLabTask, FitResult]:
    task = task_of(squares, settings)
    return task, fit(task, folder, origin={"data": "squares"}, device="cpu", **more)


def test_rates_and_decay_of_the_groups(squares: ImageSet) -> None:
    task = task_of(squares, SegmentSettings(architecture="timm/test_resnet", weights=None, output_stride=16))
    backbone, weights, biases = task.parameter_groups()
    norms = {id(p) for m in task.network.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    assert norms
    assert not norms & {id(parameter) for parameter in backbone["params"]}
    assert "lr" not in backbone
    assert (weights["lr"], biases["lr"], biases["weight_decay"]) == (2.5e-3, 5e-3, 0.0)
    assert [len(group["params"]) for group in (weights, biases)] == [4, 4]


def test_the_rate_stands_still_for_ten_updates(squares: ImageSet) -> None:
    task = task_of(squares)
    factors = [task.lr_factor(update, 100) for update in range(100)]
    assert factors[:10] == [1.0] * 10
    assert factors[10:20] == [pytest.approx(0.9**0.9)] * 10
    assert factors[99] == pytest.approx(0.1**0.9)


def test_frozen_batch_norm_is_as_it_was_after_a_training(squares: ImageSet, tmp_path: Path) -> None:
    settings = replace(SMALL, freeze_batch_norm=True, updates=2)
    before = {key: value.clone() for key, value in task_of(squares, settings).network.state_dict().items()}
    task, _ = train(squares, tmp_path, settings)
    after = task.network.state_dict()
    norms = [name for name, module in task.network.named_modules() if isinstance(module, nn.BatchNorm2d)]
    for key, value in before.items():
        same = torch.equal(value, after[key])
        assert same == (key.rpartition(".")[0] in norms), key


def test_it_learns_and_leaves_logs_and_pictures(squares: ImageSet, tmp_path: Path) -> None:
    quick = {"optimizer": "adamw", "lr": 2e-3, "head_lr_factor": 1.0, "pyramid": (), "output_stride": 8, "crop": 48}
    settings = replace(SMALL, updates=40, validate_every=40, **quick)
    _, result = train(squares, tmp_path, settings)
    assert result.losses["loss"][-1] < result.losses["loss"][0] / 2
    assert result.kept is not None
    assert result.kept["mIoU"] > 0.6
    names = {path.name for path in tmp_path.iterdir()}
    assert {"training.pt", "log.csv", "validation.csv", "tensorboard", "samples"} <= names
    with Image.open(tmp_path / "samples" / "000040_0.png") as picture:
        assert picture.size == (3 * 320, 267)


def test_accumulated_passes_count_as_one_update(squares: ImageSet, tmp_path: Path) -> None:
    _, result = train(squares, tmp_path, replace(SMALL, accumulate=2, updates=2, pyramid=(), crop=64))
    assert (result.updates, len(result.losses["loss"])) == (2, 2)


def test_one_cell_of_one_image_is_too_little_for_batch_norm(squares: ImageSet, tmp_path: Path) -> None:
    settings = replace(SMALL, batch_size=1, crop=32, output_stride=32, pyramid=())
    sentence = (
        r"segment\.batch_size 1 leaves one image .* raise segment\.crop, which is 32; or set segment\.freeze_batch"
    )
    with pytest.raises(SettingsError, match=sentence):
        train(squares, tmp_path, settings)


def test_half_precision(squares: ImageSet, tmp_path: Path) -> None:
    task, result = train(squares, tmp_path, replace(SMALL, precision="bf16", updates=2))
    assert np.isfinite(result.losses["loss"]).all()
    assert all(parameter.dtype == torch.float32 for parameter in task.network.parameters())


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"rates": ()}, "rates"),
        ({"pyramid": (1.5,)}, "pyramid"),
        ({"scales": (0.0,)}, "scales"),
        ({"crop": 8}, "crop"),
        ({"lr_hold": 0}, "lr_hold"),
        ({"head_lr_factor": 0.0}, "head_lr_factor"),
        ({"samples": -1}, "samples"),
    ],
)
def test_settings_that_make_no_sense(change: dict, word: str) -> None:
    with pytest.raises(SettingsError, match=word):
        replace(SMALL, **change)
