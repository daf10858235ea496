"""MVTec's layout from end to end: good parts are negatives, and the network's false area on them is a figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.evaluate.false_area import FalseArea
from advcam.io.files import read_json
from advcam.pipeline.classify import training_sets
from advcam.pipeline.graph import run_stages
from advcam.pipeline.run import Run
from advcam.verbs.arguments import parse


def part(path: Path, defect: str, seed: int, mask: Path | None = None) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(100, 140, (48, 64, 3), dtype=np.uint8)
    where = np.s_[20:30, 30:40] if defect == "hole" else np.s_[22:25, 10:50]
    if defect != "good":
        pixels[where] = 0 if defect == "hole" else 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    if mask is not None:
        truth = np.zeros((48, 64), np.uint8)
        truth[where] = 255
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(truth).save(mask)


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    root = tmp_path / "screw"
    for index in range(20):
        part(root / "train" / "good" / f"{index:03}.png", "good", index)
    for number, defect in enumerate(("good", "hole", "scratch")):
        for index in range(10):
            name = f"{index:03}"
            mask = None if defect == "good" else root / "ground_truth" / defect / f"{name}_mask.png"
            part(root / "test" / defect / f"{name}.png", defect, 100 * number + index, mask)
    return root


def test_defects_from_labels_to_a_network(parts: Path, tmp_path: Path) -> None:
    small = "timm/test_resnet"
    settings = {
        "data": parts, "out": tmp_path / "run", "device": "cpu", "splits.holdout": 0.3,
        "backbone.architecture": small, "backbone.weights": "null", "backbone.output_stride": 8,
        "classify.epochs": 1, "classify.crop": 48, "classify.long_side": "[48, 64]", "classify.val_long_side": 64,
        "classify.freeze": "null", "classify.workers": 0, "attribute.scales": "[1.0]", "climb.steps": 2,
        "seed.threshold": 0.3,
        "segment.masks": "truth", "segment.architecture": small, "segment.updates": 2, "segment.crop": 33,
        "segment.batch_size": 2, "segment.workers": 0, "segment.validate_every": 2,
    }  # fmt: skip
    config = parse(
        "run", ["defects", *(text for name, value in settings.items() for text in (f"--{name}", str(value)))]
    )
    run_stages(config, ("classify", "attribute", "refine", "segment", "evaluate"))
    train, held = training_sets(Run.open(config))
    assert held is not None
    assert sum(not record.classes for record in train.records) > 10
    metrics = read_json(tmp_path / "run" / "metrics.json", dict)
    assert metrics["classes"] == ["background", "hole", "scratch"]
    (area,) = metrics["false_area"]
    assert area["images"] == len(held)
    lacking = [sum(index not in record.classes for record in held.records) for index in range(2)]
    assert area["images_without"] == dict(zip(("hole", "scratch"), lacking, strict=True))
    assert 0 <= area["false_area"] <= 1
    assert {result["split"] for result in metrics["results"]} == {"all", "held out"}


def test_false_area_is_the_mean_over_images_that_lack_the_class() -> None:
    labels = np.zeros((4, 5), np.uint8)
    labels[0, :4], labels[1, 0], labels[3, 3] = 1, 2, 255
    found = FalseArea.none(2).plus(labels, (1,)).plus(labels * 0, ())
    assert found.by_class.tolist() == [0.1, 0.0]
    assert found.to_json(("hole", "scratch")) == {
        "false_area": 0.05,
        "class_false_area": {"hole": 0.1, "scratch": 0.0},
        "images_without": {"hole": 2, "scratch": 1},
    }
    assert FalseArea.none(1).plus(labels, (0,)).to_json(("hole",))["false_area"] is None
