"""A small data set with masks, and a network for it, made once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from advcam.attribute.settings import AttributeSettings, ClimbSettings
from advcam.models import BackboneSettings, build_classifier, save_classifier
from advcam.pipeline.config import RefineSettings, ReportSettings, RunConfig

SIZES = ((48, 64), (64, 48), (48, 64), (48, 64), (40, 40), (64, 48))
LABELS = ("disc", "bar", "disc;bar", "bar", "disc", "disc;bar")


def picture(index: int) -> tuple[np.ndarray, np.ndarray]:
    """A disc (red) left, a bar (blue) right, on noise, and the mask: classes are bar 1, disc 2."""
    height, width = SIZES[index]
    generator = np.random.default_rng(index)
    image = generator.integers(90, 160, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), np.uint8)
    rows, columns = np.mgrid[:height, :width]
    if "disc" in LABELS[index]:
        inside = (rows - height * 0.5) ** 2 + (columns - width * 0.3) ** 2 < (height * 0.2) ** 2
        image[inside], mask[inside] = (220, 40, 40), 2
    if "bar" in LABELS[index]:
        inside = (abs(columns - width * 0.75) < 4) & (abs(rows - height / 2) < height * 0.35)
        image[inside], mask[inside] = (40, 60, 220), 1
    return image, mask


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images of three sizes in two sub-folders, ``labels.csv`` and ``masks``."""
    root = tmp_path_factory.mktemp("data")
    rows = ["image,labels"]
    for index, labels in enumerate(LABELS):
        name = f"{'odd' if index % 2 else 'even'}/picture {index}"
        image, mask = picture(index)
        for folder, array, suffix in (("", image, ".png"), ("masks/", mask, ".png")):
            path = root / f"{folder}{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
        rows.append(f"{name}.png,{labels}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="session")
def small_classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of two classes with random weights: what it says does not matter here."""
    torch.manual_seed(0)
    settings = BackboneSettings(architecture="timm/resnet10t", weights=None, output_stride=16)
    folder = tmp_path_factory.mktemp("classifier")
    save_classifier(folder, build_classifier(settings, 2), settings, ("bar", "disc"))
    return folder


@pytest.fixture
def config(small_data: Path, small_classifier: Path, tmp_path: Path) -> RunConfig:
    """A run over the small data: two scales, three steps."""
    return replace(
        RunConfig(),
        data=str(small_data),
        out=str(tmp_path / "run"),
        classifier=str(small_classifier),
        attribute=AttributeSettings(scales=(0.5, 1.0), batch_pixels=20000),
        climb=ClimbSettings(steps=3),
        refine=RefineSettings(baseline=True),
        report=ReportSettings(gallery=3, strips=1),
        device="cpu",
    )
