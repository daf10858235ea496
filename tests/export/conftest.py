"""A small set that has every trap: holes, parts that touch at corners, lines one pixel wide, sub-folders, odd names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_folder import run  # noqa: F401

from advcam.export.item import Annotated, Item, shapes_of

NAMES = ("cat & dog", "wild <boar>", "größe")


def drawn(height: int, width: int) -> np.ndarray:
    labels = np.zeros((height, width), np.uint8)
    labels[2:12, 3:15] = 1
    labels[5:8, 6:10] = 0  # a hole
    labels[6, 7] = 2  # another class in it
    labels[14:17, 1:4] = 2
    labels[17:20, 4:7] = 2  # touches at a corner
    labels[21, 2:9] = 3  # one pixel wide
    labels[1:9, width - 2] = 3
    labels[height - 1, width - 1] = 1  # a single pixel in the corner
    return labels


@pytest.fixture
def labels() -> dict[str, np.ndarray]:
    noise = np.random.default_rng(0).integers(0, 4, (24, 31)).astype(np.uint8)
    return {"a": drawn(24, 31), "sub/b.v2": noise, "sub/empty": np.zeros((24, 31), np.uint8)}


@pytest.fixture
def annotated(tmp_path: Path, labels: dict[str, np.ndarray]) -> Annotated:
    def load(image_id: str) -> Item:
        file = tmp_path / "photos" / f"{image_id}.jpg"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (31, 24), (90, 120, 30)).save(file)
        own = labels[image_id]
        present = tuple(int(value) - 1 for value in np.unique(own) if value)
        return Item(image_id, file, own.shape, shapes_of(own, {0: 0.75}), present, doubt=0.25)

    return Annotated(NAMES, tuple(labels), load)
