"""Boxes at grey levels against OpenCV's contours (numbers taken once) and against their definition level by level."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from advcam.errors import DataError, SettingsError
from advcam.localize import boxes, boxes_at_levels, grey_level
from advcam.localize.levels import contours, quantize
from advcam.localize.normalize import min_max, protocol_map

# A drawing, and for some levels L all boxes of {I > L} and the largest, found with OpenCV 4.14 and 5.0:
# findContours(RETR_TREE), boundingRect, and the first contour of the greatest contourArea.
DRAWINGS = {
    "one pixel": (
        """
        .....
        ..9..
        .....
        """,
        {0: ([[2, 1, 3, 2]], [2, 1, 3, 2])},
    ),
    "the last pixel at the right and lower border": (
        """
        99
        99
        """,
        {0: ([[0, 0, 1, 1]], [0, 0, 1, 1])},
    ),
    "a ring": (
        """
        .......
        .99999.
        .9...9.
        .9...9.
        .99999.
        .......
        """,
        {0: ([[1, 1, 6, 5], [1, 1, 6, 5]], [1, 1, 6, 5])},
    ),
    "a hole closed by corners alone, around which the tail does not go": (
        """
        ......
        ..9...
        .9.9..
        ..9...
        ...99.
        """,
        {0: ([[1, 1, 4, 4], [1, 1, 5, 4]], [1, 1, 5, 4])},
    ),
    "a bay open to the border, and a hole": (
        """
        9.9999
        9.9..9
        9.9999
        999999
        """,
        {0: ([[0, 0, 5, 3], [2, 0, 5, 3]], [0, 0, 5, 3])},
    ),
    "a ring in the hole of a ring": (
        """
        9999999
        9.....9
        9.555.9
        9.5.5.9
        9.555.9
        9.....9
        9999999
        """,
        {
            0: ([[0, 0, 6, 6], [0, 0, 6, 6], [2, 2, 5, 5], [2, 2, 5, 5]], [0, 0, 6, 6]),
            5: ([[0, 0, 6, 6], [0, 0, 6, 6]], [0, 0, 6, 6]),
        },
    ),
    "an island that was there before the ring around it": (
        """
        3333333
        3.....3
        3.888.3
        3.888.3
        3.....3
        3333333
        """,
        {0: ([[0, 0, 6, 5], [0, 0, 6, 5], [2, 2, 5, 4]], [0, 0, 6, 5]), 3: ([[2, 2, 5, 4]], [2, 2, 5, 4])},
    ),
    "equal areas: the one that starts last": (
        """
        .777....
        .777.999
        .777.999
        .....999
        """,
        {0: ([[1, 0, 4, 3], [5, 1, 7, 3]], [5, 1, 7, 3]), 7: ([[5, 1, 7, 3]], [5, 1, 7, 3])},
    ),
    "points and lines have no area": (
        """
        9.9.9
        .....
        .99.9
        """,
        {0: ([[0, 0, 1, 1], [1, 2, 3, 2], [2, 0, 3, 1], [4, 0, 4, 1], [4, 2, 4, 2]], [4, 2, 4, 2])},
    ),
    "a hole that fills in steps": (
        """
        888888
        8322.8
        8121.8
        888888
        """,
        {
            0: ([[0, 0, 5, 3], [3, 0, 5, 3]], [0, 0, 5, 3]),
            1: ([[0, 0, 5, 3], [0, 1, 3, 3], [2, 0, 5, 3]], [0, 0, 5, 3]),
            2: ([[0, 0, 5, 3], [0, 0, 5, 3]], [0, 0, 5, 3]),
        },
    ),
    "two peaks that join": (
        """
        .2222222.
        .2922242.
        .2922242.
        .2222222.
        """,
        {
            0: ([[1, 0, 8, 3]], [1, 0, 8, 3]),
            2: ([[2, 1, 3, 3], [6, 1, 7, 3]], [6, 1, 7, 3]),
            4: ([[2, 1, 3, 3]], [2, 1, 3, 3]),
        },
    ),
}


def read(drawing: str) -> np.ndarray:
    rows = drawing.split()
    return np.array([[int(sign) if sign != "." else 0 for sign in row] for row in rows], dtype=np.uint8)


def as_score_map(grey: np.ndarray) -> torch.Tensor:
    """A score map whose grey map is the given one."""
    return torch.from_numpy((grey + 0.5) / 255)


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawings(name: str) -> None:
    drawing, expected = DRAWINGS[name]
    score_map = as_score_map(read(drawing))
    for level, (every, largest) in expected.items():
        assert boxes(score_map, level).tolist() == every
        assert boxes(score_map, level, mode="largest").tolist() == [largest]


@pytest.mark.parametrize("mode", ["all", "largest"])
def test_reference_boxes(golden, mode) -> None:
    vectors = golden("wsol/wsol")
    expected = np.split(vectors[f"{'multi' if mode == 'all' else 'single'}_boxes"], _offsets(vectors, mode))
    for index in range(40):
        score_map = protocol_map(torch.from_numpy(vectors[f"map_{index:02d}"]), 224, 224, "min-max", "map")
        levels = [grey_level(score_map, tau) for tau in vectors["five_tau"]]
        for found, wanted in zip(boxes_at_levels(score_map, levels, mode), expected[5 * index :], strict=False):
            assert found.tolist() == wanted.tolist()


def _offsets(vectors: dict[str, np.ndarray], mode: str) -> np.ndarray:
    return vectors[f"{'multi' if mode == 'all' else 'single'}_offsets"][1:-1]


def test_worked_example() -> None:
    y, x = torch.meshgrid(torch.arange(14.0).double(), torch.arange(14.0).double(), indexing="ij")
    raw = torch.exp(-((x - 5) ** 2 / 8 + (y - 8) ** 2 / 4.5)) - 0.05
    raw += 0.7 * torch.exp(-((x - 10.5) ** 2 + (y - 3) ** 2) / 2.88)
    score_map = protocol_map(raw, 224, 224, "min-max", "map")
    assert float(score_map.mean()) == pytest.approx(0.1293629427, abs=1e-10)
    assert float(score_map[100, 80]) == pytest.approx(0.3163280575, abs=1e-10)
    assert float(score_map[50, 170]) == pytest.approx(0.6495890406, abs=1e-10)
    assert int(quantize(score_map).sum()) == 1_631_135
    found = boxes_at_levels(score_map, [51, 153, 204])
    assert found[0].tolist() == [[31, 93, 145, 179], [146, 25, 206, 87]]
    assert found[1].tolist() == [[56, 112, 120, 160], [166, 45, 186, 67]]
    assert found[2].tolist() == [[67, 120, 109, 152]]


def by_definition(mask: np.ndarray) -> tuple[list[list[int]], list[int]]:
    """All boxes of a mask and the largest, one mask at a time: components, holes grown by a pixel, blocks of 2 x 2."""
    height, width = mask.shape
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    outer = ndimage.find_objects(labels)
    found = [[x.start, y.start, x.stop, y.stop] for y, x in outer]
    background, _ = ndimage.label(~np.pad(mask, 1))
    for number, (y, x) in enumerate(ndimage.find_objects(background), start=1):
        if number != background[0, 0]:
            found.append([x.start - 2, y.start - 2, x.stop, y.stop])
    ranks = []
    for number in range(1, count + 1):
        filled = np.pad(ndimage.binary_fill_holes(labels == number), 1).astype(int)
        corners = filled[1:, 1:] + filled[:-1, 1:] + filled[1:, :-1] + filled[:-1, :-1]
        area = (corners == 4).sum() + 0.5 * (corners == 3).sum()
        ranks.append((area, np.flatnonzero(labels == number)[0]))
    clipped = [[x0, y0, min(x1, width - 1), min(y1, height - 1)] for x0, y0, x1, y1 in found]
    return sorted(clipped), clipped[ranks.index(max(ranks))]


def random_map(rng: np.random.Generator) -> np.ndarray:
    shape = tuple(rng.integers(1, 24, 2))
    kind = rng.integers(4)
    if kind == 0:
        return rng.integers(0, 256, shape).astype(np.uint8)
    if kind == 1:
        return (rng.integers(0, rng.integers(2, 5), shape) * 60).astype(np.uint8)
    if kind == 2:
        return ((rng.random(shape) < rng.random()) * 200).astype(np.uint8)
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape), rng.uniform(0.5, 3))
    return quantize(min_max(torch.from_numpy(smooth)))


def test_random_maps_at_every_level() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        grey = random_map(rng)
        every, largest = contours(grey)
        for level in [0, *np.unique(grey)[:-1], *(np.unique(grey)[1:].astype(int) - 1)][:40]:
            here = (every.low <= level) & (level < every.high)
            if grey.max() <= level:
                assert not here.any()
                continue
            wanted, wanted_largest = by_definition(grey > level)
            assert sorted(every.box[here].tolist()) == wanted
            here = (largest.low <= level) & (level < largest.high)
            assert largest.box[here].tolist() == [wanted_largest]


def test_a_thin_ring_is_larger_than_the_island_in_it() -> None:
    """The ring's own pixels enclose nothing: only with its hole filled is it the largest."""
    grey = np.zeros((40, 50), np.uint8)
    grey[2:38, 2:48] = 200
    grey[3:37, 3:47] = 50
    grey[6:34, 6:44] = 180
    every, largest = contours(grey)
    for level, expected in ((0, [2, 2, 48, 38]), (100, [2, 2, 48, 38]), (190, [2, 2, 48, 38])):
        here = (largest.low <= level) & (level < largest.high)
        assert largest.box[here].tolist() == [expected]
    here = (every.low <= 100) & (every.high > 100)
    assert sorted(every.box[here].tolist()) == [[2, 2, 48, 38], [2, 2, 48, 38], [6, 6, 44, 34]]


def test_empty_mask_is_the_box_of_zeros() -> None:
    constant = torch.zeros(7, 9)
    assert boxes(constant, 0).tolist() == [[0, 0, 0, 0]]
    assert boxes(constant, 0, mode="largest").tolist() == [[0, 0, 0, 0]]
    assert boxes(torch.eye(3) / 2, 127).tolist() == [[0, 0, 0, 0]]


def test_a_full_map_is_one_box() -> None:
    assert boxes(torch.ones(7, 9), 254).tolist() == [[0, 0, 8, 6]]


def test_levels_are_those_of_the_quantized_map() -> None:
    score_map = torch.tensor([[0.0, 0.5, 1.0]])
    assert quantize(score_map).tolist() == [[0, 127, 255]]
    assert boxes(score_map, 126).tolist() == [[1, 0, 2, 0]]
    assert boxes(score_map, 127).tolist() == [[2, 0, 2, 0]]
    assert grey_level(score_map, 0.999) == 254
    assert grey_level(score_map / 2, 0.5) == 63


def test_several_levels_equal_one_at_a_time() -> None:
    score_map = protocol_map(torch.rand(9, 9), 40, 30, "min-max", "map")
    for mode in ("all", "largest"):
        found = boxes_at_levels(score_map, range(0, 255, 50), mode)
        assert all(
            torch.equal(boxes(score_map, level, mode), f) for level, f in zip(range(0, 255, 50), found, strict=True)
        )


@pytest.mark.parametrize(
    ("score_map", "message"),
    [
        (torch.zeros(0, 4), "must have pixels, but its shape is (0, 4)"),
        (torch.tensor([[0.0, 1.5]]), "must be within [0, 1], but runs from 0 to 1.5"),
        (torch.tensor([[-0.5, 1.0]]), "must be within [0, 1], but runs from -0.5 to 1"),
        (torch.tensor([[0.0, torch.nan]]), "must be within [0, 1], but runs from nan to nan"),
    ],
)
def test_maps_that_are_no_score_maps(score_map: torch.Tensor, message: str) -> None:
    with pytest.raises(DataError) as caught:
        boxes(score_map, 10)
    assert message in str(caught.value)


@pytest.mark.parametrize("level", [-1, 255])
def test_levels_that_are_none(level: int) -> None:
    with pytest.raises(SettingsError, match="whole number 0-254"):
        boxes(torch.eye(3), level)


def test_thresholds_that_are_none() -> None:
    with pytest.raises(SettingsError, match=r"in \[0, 1\), not 1"):
        grey_level(torch.eye(3), 1.0)
