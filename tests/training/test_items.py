"""Batches: the same items however they are shared out."""

from __future__ import annotations

from advcam.training import FitSettings
from advcam.training.items import Batches

FOUR = FitSettings(batch_size=4)


def indices(batches: Batches) -> list[list[int]]:
    return [[index for _, index in batch] for batch in batches]


def test_an_epoch_is_a_permutation_without_the_last_partial_batch() -> None:
    batches = list(Batches(10, FOUR, first=0, total=4))
    assert [epoch for batch in batches for epoch, _ in batch] == [0] * 8 + [1] * 8
    first, second = (sorted(index for batch in batches[part : part + 2] for _, index in batch) for part in (0, 2))
    assert len(set(first)) == len(set(second)) == 8
    assert batches[:2] != batches[2:]
    assert batches == list(Batches(10, FOUR, first=0, total=4))


def test_passes_processes_and_later_starts_share_out_the_same_updates() -> None:
    whole = indices(Batches(20, FOUR, first=0, total=7))
    split = FitSettings(batch_size=4, accumulate=2)
    parts = [indices(Batches(20, split, first=0, total=7, rank=rank, world=2)) for rank in range(2)]
    for update, batch in enumerate(whole):
        shared = [index for part in parts for turn in part[2 * update : 2 * update + 2] for index in turn]
        assert sorted(shared) == sorted(batch)
    assert indices(Batches(20, FOUR, first=5, total=7)) == whole[5:]
    assert len(Batches(20, split, first=2, total=7)) == 10
