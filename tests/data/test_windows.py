"""Windows over large pictures: they cover them, line up with the grid, and blend to what a whole picture gives."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from advcam.data.windows import GRID, blended, middle_of, window_weights, windows


@pytest.mark.parametrize("size", [(40, 100), (513, 512), (1000, 333), (10_000, 10_000), (64, 64)])
@pytest.mark.parametrize("side", [64, 500, 512])
def test_windows_cover_a_picture(size: tuple[int, int], side: int) -> None:
    seen = np.zeros([-(-length // 8) for length in size], np.int32)
    for rows, columns in windows(size, side):
        assert rows.start % GRID == columns.start % GRID == 0
        assert rows.stop - rows.start < side + GRID
        assert columns.stop - columns.start < side + GRID
        assert rows.stop <= size[0]
        assert columns.stop <= size[1]
        seen[rows.start // 8 : -(-rows.stop // 8), columns.start // 8 : -(-columns.stop // 8)] += 1
    assert seen.min() >= 1
    spans = sorted({(rows.start, rows.stop) for rows, _ in windows(size, side)})
    for (_, stop), (start, _) in pairwise(spans):
        assert stop - start >= side // 4 - GRID


def test_middles_tile_a_picture() -> None:
    size, side = (300, 1000), 128
    seen = np.zeros(size, np.int32)
    for window in windows(size, side):
        inner, within = middle_of(window, size, side)
        assert np.arange(size[0])[window[0]][within[0]].tolist() == np.arange(size[0])[inner[0]].tolist()
        assert inner[0].start >= window[0].start
        assert inner[1].stop <= window[1].stop
        seen[inner] += 1
    assert seen.min() == seen.max() == 1


@pytest.mark.parametrize("size", [(170, 260), (70, 300), (300, 70), (60, 50)])
def test_blended_is_the_weighted_mean(size: tuple[int, int]) -> None:
    side = 64
    values = torch.rand(3, *size)
    noise = {str(window): torch.rand(3, 1, 1) for window in windows(size, side)}
    found, seen = torch.zeros(3, *size), torch.zeros(size)
    for part, of_part in blended(size, side, lambda window: values[(slice(None), *window)] + noise[str(window)]):
        found[(slice(None), *part)] = of_part
        seen[part] += 1
    assert seen.min() == seen.max() == 1
    total, counted = torch.zeros(3, *size), torch.zeros(size)
    for window in windows(size, side):
        weights = window_weights(window[0].stop - window[0].start, window[1].stop - window[1].start)
        total[(slice(None), *window)] += weights * (values[(slice(None), *window)] + noise[str(window)])
        counted[window] += weights
    assert torch.equal(found, total / counted)
