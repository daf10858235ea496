"""Pictures of four bands from training to masks, and the first layer that takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from advcam.errors import SettingsError
from advcam.models import BackboneSettings, build_classifier, load_classifier
from advcam.pipeline.classify import check
from advcam.pipeline.graph import run_stages
from advcam.pipeline.run import Run
from advcam.verbs.arguments import parse

tifffile = pytest.importorskip("tifffile")


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """What tells the classes apart is in the fourth band alone."""
    rng = np.random.default_rng(0)
    rows = ["image,labels"]
    (tmp_path / "data").mkdir()
    for index in range(12):
        pixels = rng.integers(20_000, 30_000, (48, 64, 4), dtype=np.uint16)
        pixels[10:30, 10:30, 3] = (60_000, 2_000)[index % 2]
        tifffile.imwrite(tmp_path / "data" / f"{index}.tif", pixels, photometric="minisblack", planarconfig="contig")
        rows.append(f"{index}.tif,{('wet', 'dry')[index % 2]}")
    (tmp_path / "data" / "labels.csv").write_text("\n".join(rows))
    return tmp_path / "data"


def test_four_bands_from_training_to_masks(fields: Path, tmp_path: Path) -> None:
    settings = {
        "data": fields, "out": tmp_path / "run", "device": "cpu", "backbone.architecture": "timm/test_resnet",
        "backbone.weights": "null", "backbone.in_channels": 4, "backbone.output_stride": 16, "classify.epochs": 1,
        "classify.batch_size": 4, "classify.crop": 48, "classify.long_side": "[48, 64]", "classify.val_long_side": 64,
        "classify.freeze": "null", "classify.workers": 0, "attribute.scales": "[1.0]", "climb.steps": 2,
    }  # fmt: skip
    config = parse("run", [text for name, value in settings.items() for text in (f"--{name}", str(value))])
    run_stages(config, ("classify", "attribute", "refine", "evaluate", "report"))
    run = Run.open(config)
    assert all(run.folder.file("advcam/masks", record.id).exists() for record in run.records)
    classifier, _ = load_classifier(run.folder.classifier)
    assert classifier.first_convolution.in_channels == 4
    assert len(classifier.mean) == len(classifier.std) == 4


@pytest.mark.parametrize("architecture", ["timm/test_resnet", "torchvision/mobilenet_v2", "torchvision/resnet18"])
def test_weights_for_rgb_are_taken_over_by_timms_rule(architecture: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = build_classifier(BackboneSettings(architecture, None), 2)
    torch.save(plain.library_state_dict(), tmp_path / "w.pth")
    wide = build_classifier(BackboneSettings(architecture, str(tmp_path / "w.pth"), in_channels=6), 2)
    own = plain.first_convolution.weight
    torch.testing.assert_close(wide.first_convolution.weight, own.repeat(1, 2, 1, 1) / 2)
    # A file of a network of six channels is taken as it is.
    torch.save(wide.library_state_dict(), tmp_path / "six.pth")
    again = build_classifier(BackboneSettings(architecture, str(tmp_path / "six.pth"), in_channels=6), 2)
    torch.testing.assert_close(again.first_convolution.weight, wide.first_convolution.weight)
    grey = build_classifier(BackboneSettings(architecture, str(tmp_path / "w.pth"), in_channels=1), 2)
    torch.testing.assert_close(grey.first_convolution.weight, own.sum(dim=1, keepdim=True))
    assert len(grey.mean) == 1


def test_networks_for_rgb_are_refused_before_anything_is_trained() -> None:
    config = parse("run", ["--data", "d", "--out", "r", "--backbone.in_channels", "4", "--segment.method", "deeplab"])
    with pytest.raises(SettingsError, match=r"in_channels is 4, and segment.method is for RGB"):
        check(config)
    with pytest.raises(SettingsError, match=r"backbone.mean must have a value for each of 4 channels"):
        BackboneSettings(in_channels=4, mean=(0.5,) * 3, std=(0.5,) * 3)
