"""Two small data sets with names that no one would choose, and a network for them."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from advcam.attribute.settings import AttributeSettings, ClimbSettings
from advcam.models import BackboneSettings, build_classifier, save_classifier
from advcam.pipeline.config import ReportSettings, RunConfig, SplitSettings

CLASSES = ("<b>bar</b>", 'disc " onload=alert(1)')
LABELS = ((0,), (1,), (0, 1), (0,), (1,), (0, 1), (0,), (1,))


def write_data(root: Path, with_masks: bool) -> None:
    """Eight pictures of a disc, a bar or both, in the splits train and val."""
    generator = np.random.default_rng(0)
    rows = []
    for index, labels in enumerate(LABELS):
        name = f"<img src=x onerror=alert({index})>"
        image = generator.integers(90, 160, (48, 64, 3), dtype=np.uint8)
        mask = np.zeros((48, 64), np.uint8)
        y, x = np.mgrid[:48, :64]
        places = {0: abs(x - 48) < 4, 1: (y - 24) ** 2 + (x - 18) ** 2 < 90}
        for label in labels:
            image[places[label]] = ((40, 60, 220), (220, 40, 40))[label]
            mask[places[label]] = label + 1
        Image.fromarray(image).save(root / f"{name}.png")
        rows.append([f"{name}.png", CLASSES, labels, "val" if index % 2 else "train"])
        if with_masks:
            (root / "masks").mkdir(exist_ok=True)
            Image.fromarray(mask).save(root / "masks" / f"{name}.png")
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    with (root / "labels.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "labels", "split"])
        writer.writerows([image, ";".join(names[label] for label in own), split] for image, names, own, split in rows)


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of two classes with random weights: what it says does not matter here."""
    torch.manual_seed(0)
    settings = BackboneSettings(architecture="timm/resnet10t", weights=None, output_stride=16)
    folder = tmp_path_factory.mktemp("classifier")
    save_classifier(folder, build_classifier(settings, 2), settings, CLASSES)
    return folder


def config_for(root: Path, classifier: Path) -> RunConfig:
    data = root / "data <i>"
    data.mkdir()
    return replace(
        RunConfig(),
        data=str(data),
        out=str(root / "run"),
        classifier=str(classifier),
        splits=SplitSettings(train="train", val="val", maps=("train", "val")),
        attribute=AttributeSettings(scales=(1.0,)),
        climb=ClimbSettings(steps=3),
        report=ReportSettings(gallery=5, strips=1),
        device="cpu",
    )


@pytest.fixture(scope="session")
def measured_config(tmp_path_factory: pytest.TempPathFactory, classifier_folder: Path) -> RunConfig:
    """A run on data with ground truth; nothing has been done yet."""
    config = config_for(tmp_path_factory.mktemp("measured"), classifier_folder)
    write_data(Path(str(config.data)), with_masks=True)
    return config


@pytest.fixture
def bare_config(tmp_path: Path, classifier_folder: Path) -> RunConfig:
    """A run on data without ground truth that stops at plain class activation maps; nothing has been done yet."""
    config = config_for(tmp_path, classifier_folder)
    write_data(Path(str(config.data)), with_masks=False)
    return replace(config, attribute=replace(config.attribute, method="cam"))
