"""A whole training of a tiny network, and that a stopped one ends like an undisturbed one."""

from __future__ import annotations

import csv
import dataclasses
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from advcam.classify import ClassifySettings, TrainingResult, train_classifier
from advcam.classify.measure import measure_classifier
from advcam.data.record import ImageSet, Record
from advcam.errors import DataError, RunError, SettingsError
from advcam.models import BackboneSettings, load_classifier
from advcam.models.classifier import build_classifier
from advcam.training import FitEvent
from advcam.training.machine import seeded

BACKBONE = BackboneSettings("timm/test_resnet", weights=None)
SETTINGS = ClassifySettings(
    epochs=2, batch_size=2, lr=0.01, crop=32, long_side=(28, 40), val_long_side=32, precision="32", workers=0
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """Eight pictures of a red or a blue square, or of both."""
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    records = []
    for index in range(8):
        classes = ((0,), (1,), (0, 1), (1,))[index % 4]
        pixels = generator.integers(80, 120, (24, 32, 3), dtype=np.uint8)
        for label in classes:
            pixels[4:16, 2 + 16 * label : 12 + 16 * label] = ((220, 20, 20), (20, 20, 220))[label]
        path = folder / f"{index}.png"
        Image.fromarray(pixels).save(path)
        records.append(Record(str(index), path, classes))
    return ImageSet(folder, "folder", None, ("red", "blue"), tuple(records))


@pytest.fixture(scope="module")
def undisturbed(images: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return train(images, tmp_path_factory.mktemp("undisturbed"))


def train(
    images: ImageSet,
    folder: Path,
    settings: ClassifySettings = SETTINGS,
    on_event: Callable[[FitEvent], None] | None = None,
    val: bool = True,
) -> TrainingResult:
    return train_classifier(
        BACKBONE, images, images if val else None, settings, folder, device="cpu", on_event=on_event
    )


def initial() -> dict[str, torch.Tensor]:
    """The weights that a training begins with."""
    with seeded(SETTINGS.seed):
        return build_classifier(BACKBONE, 2).library_state_dict()


def same_weights(first: Path, second: Path) -> bool:
    one, two = load_file(first / "model.safetensors"), load_file(second / "model.safetensors")
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_result_and_folder(images: ImageSet, undisturbed: TrainingResult) -> None:
    folder = undisturbed.folder
    assert (undisturbed.fit.updates, len(undisturbed.fit.losses["loss"]), len(undisturbed.fit.validations)) == (8, 8, 2)
    assert undisturbed.epoch == 2
    assert undisturbed.val_map == pytest.approx(np.mean(list(undisturbed.per_class_ap.values())))
    assert undisturbed.prevalence == {"red": 0.5, "blue": 0.75}
    assert undisturbed.judgement.level in ("good", "weak", "unfit")
    classifier, names = load_classifier(folder)
    assert names == ("red", "blue")
    assert not classifier.training
    with (folder / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["lr"]) for row in rows] == pytest.approx([0.01 * (1 - s / 8) ** 0.9 for s in range(8)], rel=1e-5)
    assert [float(row["loss"]) for row in rows] == pytest.approx(undisturbed.fit.losses["loss"], rel=1e-5)
    with (folder / "validation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["update"] for row in rows] == ["4", "8"]
    assert float(rows[-1]["AP/red"]) == pytest.approx(undisturbed.per_class_ap["red"], rel=1e-5)


def test_ctrl_c_loses_nothing(images: ImageSet, undisturbed: TrainingResult, tmp_path: Path) -> None:
    def interrupt(event: FitEvent) -> None:
        if event.update == 4 and event.scores is None:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(images, tmp_path, on_event=interrupt)
    result = train(images, tmp_path)
    assert result.fit.losses == undisturbed.fit.losses
    assert result.fit.validations == undisturbed.fit.validations
    assert same_weights(tmp_path, undisturbed.folder)


def test_a_finished_training_is_only_read(images: ImageSet, undisturbed: TrainingResult) -> None:
    assert train(images, undisturbed.folder, on_event=lambda event: pytest.fail("an update was made")) == undisturbed


def test_other_settings_or_data_in_the_same_folder(images: ImageSet, undisturbed: TrainingResult) -> None:
    with pytest.raises(RunError, match=r"training.pt: this training was started with lr 0.01, but .* 0.02"):
        train(images, undisturbed.folder, dataclasses.replace(SETTINGS, lr=0.02))
    with pytest.raises(RunError, match=r"training images 8 \(.*\), but .* 7 "):
        train(images.keep("0123456"), undisturbed.folder)


def test_passes_of_an_update_add_up(images: ImageSet, undisturbed: TrainingResult, tmp_path: Path) -> None:
    result = train(images, tmp_path, dataclasses.replace(SETTINGS, accumulate=2))
    assert result.fit.losses["loss"] == pytest.approx(undisturbed.fit.losses["loss"], rel=1e-4)
    one, two = (load_file(folder / "model.safetensors") for folder in (tmp_path, undisturbed.folder))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=1e-5)


def test_frozen_parts_keep_their_values(images: ImageSet, tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, freeze="layer1")
    train(images, tmp_path, settings, val=False)
    first, last = initial(), load_file(tmp_path / "model.safetensors")
    changed = {name for name in first if not torch.equal(first[name], last[name])}
    assert not any(name.startswith(("conv1", "bn1", "layer1")) for name in changed)
    assert any(name.startswith("layer2") for name in changed)
    assert not any("running" in name for name in changed)


def test_batch_norm_learns_its_statistics_when_asked(images: ImageSet, tmp_path: Path) -> None:
    train(images, tmp_path, dataclasses.replace(SETTINGS, freeze_batch_norm=False), val=False)
    first, last = initial(), load_file(tmp_path / "model.safetensors")
    assert not torch.equal(first["bn1.running_mean"], last["bn1.running_mean"])


def test_it_learns_and_keeps_the_best_epoch(images: ImageSet, tmp_path: Path) -> None:
    settings = dataclasses.replace(
        SETTINGS, epochs=6, optimizer="adamw", lr=2e-3, head_lr_factor=5.0, freeze_batch_norm=False, keep="best"
    )
    result = train(images, tmp_path, settings)
    assert np.mean(result.fit.losses["loss"][-4:]) < 0.8 * np.mean(result.fit.losses["loss"][:4])
    assert result.val_map == max(scores["mAP"] for scores in result.fit.validations)
    assert result.epoch == 1 + int(np.argmax([scores["mAP"] for scores in result.fit.validations]))


def test_measuring_the_trained_classifier_gives_the_same_figures(images: ImageSet, undisturbed: TrainingResult) -> None:
    classifier, _ = load_classifier(undisturbed.folder)
    measured = measure_classifier(classifier, images, SETTINGS)
    assert measured.per_class_ap == pytest.approx(undisturbed.per_class_ap)
    assert measured.judgement.level == undisturbed.judgement.level


def test_the_best_epoch_needs_validation_images(images: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"classify\.keep is best, but there are no validation images"):
        train(images, tmp_path, dataclasses.replace(SETTINGS, keep="best"), val=False)


def test_without_validation_images_nothing_is_judged(images: ImageSet, tmp_path: Path) -> None:
    result = train(images, tmp_path, dataclasses.replace(SETTINGS, epochs=1), val=False)
    assert (result.val_map, result.per_class_ap, result.fit.validations) == (None, {}, ())
    assert result.judgement.level == "unknown"


def test_a_class_without_training_images_is_named(
    images: ImageSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    more = dataclasses.replace(images, class_names=("red", "blue", "green"))
    with caplog.at_level(logging.WARNING, logger="advcam"):
        result = train(more, tmp_path, dataclasses.replace(SETTINGS, epochs=1), val=False)
    assert result.untrained == ("green",)
    assert "no training image has the class green" in caplog.text


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_named_in_one_sentence(images: ImageSet, tmp_path: Path, workers: int) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"")
    records = (*images.records[:7], Record("broken", broken, (0,)))
    with pytest.raises(DataError) as caught:
        train(dataclasses.replace(images, records=records), tmp_path, dataclasses.replace(SETTINGS, workers=workers))
    assert str(caught.value).startswith(f"{broken}: the file is empty")
    assert "Traceback" not in str(caught.value)


def test_half_precision_of_sixteen_bits_needs_a_gpu(images: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match='precision "16" needs a GPU'):
        train(images, tmp_path, dataclasses.replace(SETTINGS, precision="16"))


def test_nothing_but_the_events_is_told(
    images: ImageSet, tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    train(images, tmp_path, dataclasses.replace(SETTINGS, epochs=1))
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in recwarn] == []
