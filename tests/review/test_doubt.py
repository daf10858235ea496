"""Each reason for doubt as a number, and how well a queue finds what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from advcam.errors import RunError
from advcam.export.corrected import Corrected
from advcam.review import doubt
from advcam.review.coming_back import changed
from advcam.review.table import Entry, by_image, decide, read_table, renewed, write_table


def test_pixels_that_are_set_aside_do_not_count() -> None:
    first = np.array([[1, 1, 255, 0]], np.uint8)
    second = np.array([[1, 0, 1, 0]], np.uint8)
    assert doubt.disagreement(first, second, 0) == 0.5
    assert doubt.disagreement(first, second, 1) == 0.0


def test_sizes_are_held_against_their_own_class_only() -> None:
    shares = np.array([0.5, 0.5, 0.52, 0.48, 0.5, 0.01, 0.01, 0.0])
    classes = np.array([0, 0, 0, 0, 0, 1, 1, 0])
    # Two masks of class 1 say nothing of what is usual; an empty one is always odd.
    assert doubt.odd_sizes(shares, classes).round(2).tolist() == [0, 0, 0.2, 0.2, 0, 0, 0, 1]


def test_reasons_count_by_their_order_alone() -> None:
    reasons = {"unsure": np.array([0.0, 0.001, 0.002]), "disagree": np.array([0.9, 0.1, 0.5])}
    assert doubt.together(reasons).tolist() == [0.5, 0.25, 0.75]
    assert doubt.ranks(np.array([3.0, 1.0, 3.0])).tolist() == [0.75, 0.0, 0.75]


def test_decisions_outlive_a_new_queue(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    write_table(path, [Entry("a", "cat; old", 0.3, ("disagree 0.81", "area 0.55")), Entry("b", "dog", 0.1)])
    decide(path, {("b", "dog"): "accepted", ("c", "dog"): "rejected"})
    old = read_table(path)
    assert [(e.image, e.decision) for e in old] == [("a", ""), ("b", "accepted"), ("c", "rejected")]
    assert old[0].reasons == ("disagree 0.81", "area 0.55")
    new = renewed(old, [Entry("b", "dog", 0.7), Entry("a", "cat; old", 0.2)])
    assert [(e.image, e.doubt, e.decision) for e in new] == [
        ("b", 0.7, "accepted"),
        ("a", 0.2, ""),
        ("c", 0, "rejected"),
    ]
    assert list(by_image(new)) == ["b", "a", "c"]
    path.write_text("image\na\n")
    with pytest.raises(RunError, match=r"review\.csv"):
        read_table(path)


def test_corrections_are_kept_by_image(tmp_path: Path) -> None:
    kept = Corrected(tmp_path)
    assert not kept.folder.exists()
    kept.keep("sub/a.v2", np.full((4, 4), 2, np.uint8))
    kept.relabel({"sub/a.v2": ("cat", "dog")})
    kept.relabel({"b": ("dog",)})
    assert kept.has("sub/a.v2")
    assert kept.labels() == {"b": ("dog",), "sub/a.v2": ("cat", "dog")}
    assert not changed(np.array([[1, 255]], np.uint8), np.array([[1, 0]], np.uint8))
    assert changed(np.array([[1, 2]], np.uint8), np.array([[1, 0]], np.uint8))
