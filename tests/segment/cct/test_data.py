"""Which images keep their masks, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from advcam.data import open_dataset
from advcam.errors import DataError
from advcam.segment.cct.data import count_pixels, semi_supervised
from advcam.segment.cct.splits import balanced_choice, main_label

# The list of 60 images of the CCT program: three of each class.
SIXTY = """000032 000039 000063 000068 000121 000170 000241 000243 000250 000256 000333 000363 000364 000392 000480
000504 000515 000528 000549 000584 000645 000648 000713 000720 000733 000768 000793 000822 000836 000876 001027 001073
001149 001225 001397 001416 001420 001439 001487 001595 001602 001609 001704 001764 001857 001872 001901 002227 002281
002361 002462 002845 002953 002967 003178 003189 003207 003788 005273 006530"""


def test_the_programs_list_of_sixty(shared):
    images = open_dataset(shared / "data" / "voc12", "train")
    early = replace(images, records=tuple(record for record in images.records if "2007_" in record.id))
    pixels = count_pixels(early.records, 20)
    chosen = balanced_choice([main_label(row) for row in pixels], 60)
    assert [early.records[place].id[-6:] for place in chosen] == SIXTY.split()


def test_choice_is_balanced_nested_and_whole():
    labels = [1] * 10 + [2] * 3 + [0] + [3] * 6
    chosen = [set(balanced_choice(labels, count)) for count in range(1, 21)]
    assert all(few < many for few, many in zip(chosen, chosen[1:], strict=False))
    assert [labels[place] for place in sorted(chosen[6])] == [1, 1, 2, 2, 0, 3, 3]
    assert chosen[-1] == set(range(20))


def split(images, count, weak=None, others=None):
    pixels = count_pixels(images.records, len(images.class_names))
    return semi_supervised(images, pixels, others or images, count, weak)


def test_rest_is_without_masks(tiny_images):
    data = split(tiny_images, 3)
    assert [record.id for record in data.labelled] == ["0", "1", "2"]
    assert len(data.others) == 6
    assert not data.weak
    assert split(tiny_images, 3, weak=tiny_images).weak


def test_bad_input(tiny_images):
    with pytest.raises(DataError, match="asks for 10 images with masks, but there are only 9"):
        split(tiny_images, 10)
    with pytest.raises(DataError, match="all 9 images have masks"):
        split(tiny_images, None)
    some = replace(tiny_images, records=tiny_images.records[:4])
    with pytest.raises(DataError, match=r"5 of 6 images without masks have no pseudo mask either, such as 4"):
        split(tiny_images, 3, weak=some)
    with pytest.raises(DataError, match="hold no pixel of cat, so it would never be predicted"):
        split(replace(tiny_images, class_names=("bar", "disc", "cat")), 3)
    only_discs = replace(tiny_images, records=tuple(tiny_images.records[place] for place in (1, 4, 7)))
    with pytest.raises(DataError, match="hold no pixel of bar"):
        split(only_discs, 2, others=tiny_images)


def test_pixels_are_counted(tiny_images):
    counts = count_pixels(tiny_images.records, 2)
    assert counts.shape == (9, 3)
    assert (counts.sum(axis=1) == 40 * 56).all()
    assert (counts[1::3, 1] == 0).all()
    assert main_label(np.array([5, 0, 0])) == 0
