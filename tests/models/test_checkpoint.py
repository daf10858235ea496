"""A trained classifier, saved and restored."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file

from advcam.errors import ModelError, RunError
from advcam.models import BackboneSettings, Classifier, build_classifier, load_classifier, save_classifier

NAMES = ("cat", "dog", "bird")
SETTINGS = BackboneSettings("shufflenet_v2_x0_5", None, 16, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2))


def saved(folder: Path, settings: BackboneSettings = SETTINGS) -> Classifier:
    classifier = build_classifier(settings, len(NAMES)).eval()
    save_classifier(folder, classifier, settings, NAMES)
    return classifier


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        BackboneSettings("timm/mobilenetv3_small_050", None, 8, head_bias=True),
        BackboneSettings("inception_v3", None),
    ],
    ids=["torchvision", "timm", "unpadded"],
)
def test_restored_in_one_line(tmp_path: Path, settings: BackboneSettings) -> None:
    classifier = saved(tmp_path / "run" / "classifier", settings)
    restored, names = load_classifier(tmp_path / "run" / "classifier", NAMES)
    images = torch.randn(1, 3, 96, 112)
    assert names == NAMES
    assert not restored.training
    assert torch.equal(restored(images), classifier(images))
    for attribute in ("architecture", "output_stride", "mean", "std", "input_size", "num_classes"):
        assert getattr(restored, attribute) == getattr(classifier, attribute)
    assert sorted(path.name for path in (tmp_path / "run" / "classifier").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]


def test_what_is_written(tmp_path: Path) -> None:
    classifier = saved(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == {
        "schema": 1,
        "architecture": "torchvision/shufflenet_v2_x0_5",
        "output_stride": 16,
        "class_names": ["cat", "dog", "bird"],
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.2, 0.2],
        "input_size": [224, 224],
        "initial_weights": None,
        "loss": None,
    }
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert json.loads(file.metadata()["mean"]) == [0.5, 0.4, 0.3]
    reference = torchvision.models.shufflenet_v2_x0_5(num_classes=3)
    result = reference.load_state_dict(load_file(tmp_path / "model.safetensors"), strict=False)
    assert result.missing_keys == ["fc.bias"]
    assert result.unexpected_keys == []
    assert torch.equal(reference.fc.weight, classifier.head.weight)


def test_a_checkpoint_is_a_weights_file_for_further_training(tmp_path: Path) -> None:
    classifier = saved(tmp_path)
    settings = BackboneSettings("shufflenet_v2_x0_5", str(tmp_path / "model.safetensors"))
    again = build_classifier(settings, 3, require_head=True)
    assert torch.equal(again.head.weight, classifier.head.weight)
    assert again.mean == (0.5, 0.4, 0.3)


def refused(folder: Path, message: str, class_names: tuple[str, ...] | None = None) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        load_classifier(folder, class_names)
    assert str(folder) in str(raised.value)


def test_broken_folders(tmp_path: Path) -> None:
    refused(tmp_path / "nothing", "config.json is not there: name a folder that holds a classifier")
    saved(tmp_path)
    config, weights = tmp_path / "config.json", tmp_path / "model.safetensors"
    text, tensors = config.read_text(), weights.read_bytes()
    refused(tmp_path, r"knows 3 classes \(cat, dog, bird\), the data has 2 \(cat, dog\)", ("cat", "dog"))
    refused(tmp_path, "use the classifier that was trained on this data", ("dog", "cat", "bird"))
    weights.write_bytes(tensors[:-10])
    refused(tmp_path, "model.safetensors is not a whole safetensors file")
    weights.unlink()
    refused(tmp_path, "model.safetensors is not there")
    weights.write_bytes(tensors)
    for broken, message in (
        (text[:40], "cannot be read as JSON"),
        ("[]", "no schema number"),
        (text.replace('"schema": 1', '"schema": 9'), "has schema 9, this version reads up to 1: update advcam"),
        (text.replace('"mean"', '"average"'), "its mean does not fit"),
    ):
        config.write_text(broken)
        refused(tmp_path, message)
    config.write_text(text.replace(',\n    "bird"', ""))
    refused(tmp_path, "has a head of 3 classes, not one of 2")
    config.write_text(text.replace("shufflenet_v2_x0_5", "resnet18"))
    refused(tmp_path, "weights of another architecture than torchvision/resnet18")


def test_folders_that_cannot_be_written(tmp_path: Path) -> None:
    classifier = saved(tmp_path / "good")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="choose another folder"):
        save_classifier(tmp_path / "file" / "classifier", classifier, SETTINGS, NAMES)
    with pytest.raises(ModelError, match="2 class names were given for a classifier of 3 classes"):
        save_classifier(tmp_path / "names", classifier, SETTINGS, NAMES[:2])
    assert not (tmp_path / "names").exists()


def test_an_interrupted_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()

    def full(path: Path, content: bytes) -> None:
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunError, match="the disk is full"):
        saved(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
