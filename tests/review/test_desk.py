"""Decisions at the desk are on the disk at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.attribute.result import LocalizationMaps
from advcam.data.masks import write_mask
from advcam.errors import DataError
from advcam.export.source import RunView
from advcam.review.desk import Desk, painted
from advcam.review.table import Entry, read_table, write_table


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    images = {name: tmp_path / "photos" / f"{name}.png" for name in ("a", "sub/b")}
    for name, file in images.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 24)).save(file)
        mask = np.zeros((24, 32), np.uint8)
        mask[:, :16] = 1
        write_mask(tmp_path / "advcam/masks" / f"{name}.png", mask)
        maps = np.stack((np.linspace(0, 1, 8)[None].repeat(6, 0), np.zeros((6, 8))))
        found = LocalizationMaps(np.array([0, 1]), maps.astype(np.float16), (24, 32), np.ones(2, np.float32))
        found.save(tmp_path / "advcam/maps" / f"{name}.npz")
    entries = [
        Entry("a", "cat", 0.2),
        Entry("sub/b", "cat", 0.9),
        Entry("sub/b", "dog", 0.1),
        Entry("gone", "cat", 1.0),
    ]
    write_table(tmp_path / "review.csv", entries)
    return Desk(RunView(tmp_path, ("cat", "dog"), images, {"a": (0,), "sub/b": (0, 1)}, baseline=None))


def decisions(desk: Desk) -> dict[tuple[str, str], str]:
    return {(entry.image, entry.class_name): entry.decision for entry in read_table(desk.table)}


def test_the_most_doubtful_image_comes_first(desk: Desk) -> None:
    assert desk.ids == desk.waiting() == ["sub/b", "a"]


def test_an_accepted_mask_counts_as_truth_until_it_is_rejected(desk: Desk) -> None:
    desk.accept("a")
    assert decisions(desk)["a", "cat"] == "accepted"
    assert desk.view.corrected.has("a")
    assert desk.waiting() == ["sub/b"]
    desk.reject("a")
    assert not desk.view.corrected.has("a")
    assert decisions(desk) == {
        ("a", "cat"): "rejected",
        ("sub/b", "cat"): "",
        ("sub/b", "dog"): "",
        ("gone", "cat"): "",
    }


def test_a_threshold_of_its_own(desk: Desk) -> None:
    shares = [(desk.at_threshold("a", level) == 1).mean() for level in (0.2, 0.5, 0.8)]
    assert shares == [0.75, 0.5, 0.25]
    desk.correct("a", desk.at_threshold("a", 0.8))
    assert (desk.mask("a") == 1).mean() == 0.25
    assert decisions(desk)["a", "cat"] == "corrected"


def test_labels_are_mended_and_masks_follow(desk: Desk) -> None:
    desk.relabel("a", ["dog"])
    assert desk.names("a") == ("dog",)
    assert desk.view.corrected.labels() == {"a": ("dog",)}
    # Only the labels that are left get a mask.
    assert desk.at_threshold("a", 0.2).max() == 0
    with pytest.raises(DataError, match="horse"):
        desk.relabel("a", ["horse"])


def test_painting_is_brought_to_the_size_of_the_mask(desk: Desk) -> None:
    strokes = np.zeros((12, 16, 4), np.uint8)
    strokes[:6, :, :] = (0, 120, 0, 255)
    strokes[6:, :4, :] = (3, 2, 1, 255)
    mask = painted(desk.mask("a"), strokes, {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0)})
    assert (mask[:12] == 2).all()
    assert (mask[12:, :8] == 0).all()
    assert (mask[12:, 8:16] == 1).all()
    desk.correct("a", mask)
    with pytest.raises(DataError, match="no class"):
        desk.correct("a", np.full((24, 32), 9, np.uint8))
    with pytest.raises(DataError, match="32 x 24"):
        desk.correct("a", np.zeros((2, 2), np.uint8))


def test_an_empty_queue_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="advcam review"):
        Desk(RunView(tmp_path, ("cat",), {}, {}))
