"""A tiny data set for CCT: two classes on noise, some images with masks, some without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.data.masks import write_mask
from advcam.data.record import ImageSet, Record
from advcam.segment.cct.settings import CCTSettings

NAMES = ("bar", "disc")


def picture(index: int) -> tuple[np.ndarray, np.ndarray]:
    """A red disc (2) or a blue bar (1), or both, on grey noise."""
    generator = np.random.default_rng(index)
    image = generator.integers(90, 160, (40, 56, 3), dtype=np.uint8)
    mask = np.zeros((40, 56), np.uint8)
    rows, columns = np.mgrid[:40, :56]
    if index % 3:
        inside = (rows - 20) ** 2 + (columns - 16) ** 2 < 100
        image[inside], mask[inside] = (220, 40, 40), 2
    if index % 3 != 1:
        inside = (abs(columns - 42) < 6) & (abs(rows - 20) < 14)
        image[inside], mask[inside] = (40, 60, 220), 1
    return image, mask


@pytest.fixture(scope="session")
def tiny_images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """Nine images with masks."""
    root = tmp_path_factory.mktemp("cct")
    records = []
    for index in range(9):
        image, mask = picture(index)
        file, mask_file = root / f"{index}.png", root / "masks" / f"{index}.png"
        Image.fromarray(image).save(file)
        write_mask(mask_file, mask)
        classes = tuple(int(label) - 1 for label in np.unique(mask) if label)
        records.append(Record(str(index), file, classes, mask_file))
    return ImageSet(Path(root), "folder", None, NAMES, tuple(records))


@pytest.fixture
def tiny_settings() -> CCTSettings:
    """A small encoder from random weights, one decoder of each kind."""
    return CCTSettings(
        architecture="timm/test_resnet",
        weights=None,
        output_stride=16,
        psp_channels=16,
        batch_size=2,
        updates=4,
        crop=32,
        long_side=(32, 64),
        vat=1,
        drop_out=1,
        cut_out=1,
        context_mask=1,
        object_mask=1,
        feature_drop=1,
        feature_noise=1,
        workers=0,
        keep="last",
        validate_every=100,
    )
