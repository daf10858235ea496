"""Which images keep their masks, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from advcam.data import open_dataset, write_mask
from advcam.errors import DataError
from advcam.segment.cct.data import balanced_choice, choose, main_label, merged, semi_supervised
from advcam.segment.data import check_masks

# The list of 60 images of the CCT program: three of each class.
SIXTY = """000032 000039 000063 000068 000121 000170 000241 000243 000250 000256 000333 000363 000364 000392 000480
000504 000515 000528 000549 000584 000645 000648 000713 000720 000733 000768 000793 000822 000836 000876 001027 001073
001149 001225 001397 001416 001420 001439 001487 001595 001602 001609 001704 001764 001857 001872 001901 002227 002281
002361 002462 002845 002953 002967 003178 003189 003207 003788 005273 006530"""


def test_the_programs_list_of_sixty(shared):
    images = open_dataset(shared / "data" / "voc12", "train")
    early = replace(images, records=tuple(record for record in images.records if "2007_" in record.id))
    chosen = choose(check_masks(early), 60)
    assert [record.id[-6:] for record in chosen.images.records] == SIXTY.split()


def test_choice_is_balanced_nested_and_whole():
    labels = [1] * 10 + [2] * 3 + [0] + [3] * 6
    chosen = [set(balanced_choice(labels, count)) for count in range(1, 21)]
    assert all(few < many for few, many in pairwise(chosen))
    assert [labels[place] for place in sorted(chosen[6])] == [1, 1, 2, 2, 0, 3, 3]
    assert chosen[-1] == set(range(20))


def split(images, count, weak=None, others=None, **more):
    return semi_supervised(check_masks(images), others or images, count, weak, **more)


def test_rest_is_without_masks(tiny_images):
    data = split(tiny_images, 3)
    assert [record.id for record in data.labelled.images.records] == ["0", "1", "2"]
    assert [record.id for record in data.others.records] == ["3", "4", "5", "6", "7", "8"]
    assert not data.weak
    weak = split(tiny_images, 3, weak=tiny_images)
    assert weak.weak
    assert weak.others.records[0].mask == tiny_images.records[3].mask


def test_both_lists_are_used(tiny_images):
    first = replace(tiny_images, records=tiny_images.records[:4])
    last = replace(tiny_images, records=tiny_images.records[2:])
    assert [record.id for record in merged(first, last).records] == [str(number) for number in range(9)]
    assert len(split(first, None, others=last).others) == 5


def test_bad_input(tiny_images):
    with pytest.raises(DataError, match="asks for 10 images with masks, but there are only 9"):
        split(tiny_images, 10)
    with pytest.raises(DataError, match="all 9 images have masks"):
        split(tiny_images, None)
    some = replace(tiny_images, records=tiny_images.records[:4])
    with pytest.raises(DataError, match=r"5 of 6 images without masks have no pseudo mask either, such as 4"):
        split(tiny_images, 3, weak=some)
    assert len(split(tiny_images, 3, weak=some, skip_bad=True).others) == 1
    with pytest.raises(DataError, match="6 of 6 images"):
        split(tiny_images, 3, weak=replace(tiny_images, records=()), skip_bad=True)
    three = replace(tiny_images, class_names=("bar", "disc", "cat"))
    with pytest.raises(DataError, match="have no pixel of cat, so it would never be predicted"):
        split(three, 3)
    assert split(three, 3, skip_bad=True).labelled.untrained == ("cat",)
    only_discs = replace(tiny_images, records=tuple(tiny_images.records[place] for place in (1, 4, 7)))
    with pytest.raises(DataError, match="have no pixel of bar"):
        split(only_discs, 2, others=tiny_images)


def test_bad_pseudo_masks(tiny_images, tmp_path):
    bad = tmp_path / "bad.png"
    write_mask(bad, np.full((40, 56), 7, np.uint8))
    records = tuple(replace(record, mask=bad) if record.id == "5" else record for record in tiny_images.records)
    weak = replace(tiny_images, records=records)
    with pytest.raises(DataError, match="holds the values 7"):
        split(tiny_images, 3, weak=weak)
    left = split(tiny_images, 3, weak=weak, skip_bad=True)
    assert (len(left.others), len(left.left_out)) == (5, 1)
    write_mask(bad, np.full((40, 56), 255, np.uint8))
    assert len(split(tiny_images, 3, weak=weak).others) == 5


def test_main_label():
    assert [main_label(np.array(row)) for row in ([5, 0, 0], [5, 1, 2], [0, 2, 2])] == [0, 2, 1]
