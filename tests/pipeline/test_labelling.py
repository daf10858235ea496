"""Batches of pictures for a network: how large they are, and that they do not depend on what is done already."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

import advcam.pipeline.labelling
from advcam.errors import DataError
from advcam.pipeline.labelling import Labeller
from advcam.segment import InferenceSettings, Segmenter

SIDE = 32


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Eight pictures of one size."""
    for name in "abcdefgh":
        Image.fromarray(np.full((SIDE, SIDE, 3), ord(name), np.uint8)).save(tmp_path / f"{name}.png")
    return {name: tmp_path / f"{name}.png" for name in "abcdefgh"}


def labeller(labels: int = 3, scales: tuple[float, ...] = (1.0,)) -> Labeller:
    names = tuple(f"class {number}" for number in range(1, labels))
    network = nn.Conv2d(3, labels, 8, stride=8)

    def stop(image_id: str, error: DataError) -> None:
        raise error

    return Labeller(Segmenter(network, names, (0.5,) * 3, (0.5,) * 3), InferenceSettings(scales), stop)


@pytest.mark.parametrize(
    ("labels", "scales", "expected"),
    [(3, (1.0,), 4), (21, (0.5, 1.0), 4), (42, (1.0,), 2), (3, (1.0, 1.5), 1), (42, (1.0, 1.42), 1), (200, (1.0,), 1)],
)
def test_a_batch_is_smaller_with_many_labels_and_large_scales(
    files: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    labels: int,
    scales: tuple[float, ...],
    expected: int,
) -> None:
    monkeypatch.setattr(advcam.pipeline.labelling, "CPU_BATCH_PIXELS", 4 * SIDE * SIDE)
    units = labeller(labels, scales).units(files.items())
    assert {len(unit.ids) for unit in units} == {expected}


def test_what_is_done_fills_the_batches_of_what_is_left(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advcam.pipeline.labelling, "CPU_BATCH_PIXELS", 4 * SIDE * SIDE)
    seen, labels = [], Segmenter.labels
    monkeypatch.setattr(Segmenter, "labels", lambda self, images, how: seen.append(images) or labels(self, images, how))
    one = labeller()
    found = list(one.label(one.units(files.items()), files.__getitem__, {"b", "d"}))
    assert [[image[0, 0, 0] for image in images] for images in seen] == [[ord(name) for name in "abcd"]]
    assert [labelled.id for batch in found for labelled in batch] == ["b", "d"]
    assert len(list(one.label(one.units(files.items()), files.__getitem__))) == 2
