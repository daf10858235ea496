"""Regions that vote: the rule, case by case, and against a slow reading of it."""

from __future__ import annotations

import pytest
import torch

from advcam.errors import DataError, SettingsError
from advcam.refine import regions


def of_rows(*rows: str) -> torch.Tensor:
    return torch.tensor([[int(letter) for letter in row] for row in rows])


def test_a_region_takes_the_class_that_covers_most_of_it():
    mask = of_rows("0044", "0444")
    assert regions(mask, of_rows("1122", "1122")).tolist() == [[0, 0, 4, 4], [0, 0, 4, 4]]


def test_a_region_takes_the_class_that_it_covers_most_of():
    mask = of_rows("00000", "00700", "00000")
    whole = of_rows("11100", "11100", "00000")
    assert regions(mask, whole).tolist() == [[7, 7, 7, 0, 0], [7, 7, 7, 0, 0], [0, 0, 0, 0, 0]]
    assert not regions(mask, whole, covering=None).any()


def test_pixels_in_no_region_keep_their_label_and_ignored_ones_do_not_vote():
    mask = torch.tensor([[5, 255, 255, 5, 0]], dtype=torch.uint8)
    voted = regions(mask, torch.tensor([[1, 1, 1, 0, -1]]))
    assert voted.tolist() == [[5, 5, 5, 5, 0]]
    assert voted.dtype == torch.uint8


def test_of_overlapping_regions_the_smallest_with_a_class_decides():
    mask = of_rows("222331")
    masks = torch.stack([of_rows("111111") > 0, of_rows("000110") > 0, of_rows("000001") > 0, of_rows("000110") > 1])
    assert regions(mask, masks, covered=0.4).tolist() == [[2, 2, 2, 3, 3, 1]]
    # A region without a class does not wipe out the class of a larger one.
    head = torch.stack([of_rows("111100") > 0, of_rows("001100") > 0])
    assert regions(of_rows("220001"), head).tolist() == [[2, 2, 2, 2, 0, 1]]


def test_several_partitions_decide_by_majority_and_else_the_pixel_itself():
    mask = of_rows("0011")
    one, two = of_rows("1122"), of_rows("1222")
    assert regions(mask, torch.stack([one, two, two]), covering=None).tolist() == [[0, 1, 1, 1]]
    assert regions(mask, torch.stack([one, two]), covering=None).tolist() == [[0, 0, 1, 1]]


def test_a_partition_gives_what_its_regions_give_as_masks():
    torch.manual_seed(0)
    mask, parts = torch.randint(0, 4, (23, 31)), torch.randint(0, 9, (23, 31))
    masks = torch.stack([parts == number for number in range(1, 9)])
    for covering in (None, 0.2):
        voted = regions(mask, parts, covered=0.3, covering=covering)
        assert torch.equal(voted, regions(mask, masks, covered=0.3, covering=covering))
        for number in range(1, 9):
            inside = mask[parts == number]
            counts = torch.bincount(inside, minlength=4)[1:]
            best = int(counts.argmax())
            wins = counts[best] > 0.3 * len(inside) or (
                covering is not None and counts[best] > covering * (mask[parts > 0] == best + 1).sum()
            )
            assert set(voted[parts == number].tolist()) == {best + 1 if wins else 0}


def test_maps_take_the_mean_over_regions_and_partitions():
    torch.manual_seed(0)
    maps, parts = torch.rand(3, 13, 17, dtype=torch.float64), torch.randint(0, 5, (2, 13, 17))
    expected = torch.zeros_like(maps)
    for part in parts:
        means = torch.stack([maps[:, part == number].mean(dim=1) for number in range(5)], dim=1)
        expected += means[:, part] * (part > 0)
    count = (parts > 0).sum(dim=0)
    expected = torch.where(count > 0, expected / count.clamp(min=1), maps)
    torch.testing.assert_close(regions(maps, parts), expected, rtol=0, atol=1e-14)
    masks = torch.stack([part == number for part in parts for number in range(1, 5)])
    torch.testing.assert_close(regions(maps, masks), expected, rtol=0, atol=1e-14)
    assert regions(maps[:0], parts).shape == (0, 13, 17)


def test_without_regions_or_classes_nothing_changes():
    mask = of_rows("0120")
    assert torch.equal(regions(mask, torch.zeros(0, 1, 4, dtype=torch.bool)), mask)
    assert torch.equal(regions(mask, torch.zeros(1, 4, dtype=torch.int64)), mask)
    assert not regions(torch.zeros(1, 4, dtype=torch.uint8), of_rows("1122")).any()


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError):
        regions(of_rows("01"), of_rows("011"))
    with pytest.raises(SettingsError):
        regions(of_rows("01"), of_rows("01"), covered=1.0)
