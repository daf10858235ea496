"""A small network, and pictures of a disc, a bar or both with their masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from advcam import ClassMapper, ClimbSettings
from advcam.analyse.subject import Subject
from advcam.data import Record, write_mask

LABELS = ((0,), (1,), (0, 1))
SIZE = (32, 48)


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, ...]:
    """Three pictures of one size."""
    root = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    places = {0: abs(x - 36) < 4, 1: (y - 16) ** 2 + (x - 12) ** 2 < 60}
    found = []
    for index, labels in enumerate(LABELS):
        image = generator.integers(90, 160, (*SIZE, 3), dtype=np.uint8)
        mask = np.zeros(SIZE, np.uint8)
        for label in labels:
            image[places[label]] = ((40, 60, 220), (220, 40, 40))[label]
            mask[places[label]] = label + 1
        Image.fromarray(image).save(root / f"{index}.png")
        write_mask(root / f"mask{index}.png", mask)
        found.append(Record(f"{index}", root / f"{index}.png", labels, root / f"mask{index}.png"))
    return tuple(found)


@pytest.fixture(scope="session")
def mapper() -> ClassMapper:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 5, 2, padding=2), nn.Tanh(), nn.Conv2d(8, 12, 3, 2, padding=1), nn.ReLU())
    return ClassMapper(layers, torch.randn(2, 12))


@pytest.fixture
def subject(mapper: ClassMapper, records: tuple[Record, ...]) -> Subject:
    """Four steps at one scale; nothing is kept."""
    return Subject(mapper, ("bar", "disc"), records, ClimbSettings(steps=4, reg_weight=1.0), facts={"split": "train"})
