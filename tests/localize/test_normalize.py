"""The four normalizations on a map whose results can be worked out by hand, and on maps without information."""

from __future__ import annotations

import pytest
import torch

from advcam.errors import DataError
from advcam.localize import ivr, maximum, min_max, pas
from advcam.localize.normalize import normalize, protocol_map

MAP = torch.tensor([[-2.0, 0.0, 1.0, 2.0, 8.0], [3.0, 4.0, 5.0, 6.0, 7.0]], dtype=torch.float64)


def test_min_max() -> None:
    assert min_max(MAP).tolist() == [[0.0, 0.2, 0.3, 0.4, 1.0], [0.5, 0.6, 0.7, 0.8, 0.9]]


def test_maximum() -> None:
    assert maximum(MAP).tolist() == [[0.0, 0.0, 0.125, 0.25, 1.0], [0.375, 0.5, 0.625, 0.75, 0.875]]


def test_pas() -> None:
    # Rank floor(0.9 * 10) = 9 is the maximum; rank 7 holds 6, that is 8 above the minimum.
    torch.testing.assert_close(pas(MAP), min_max(MAP))
    assert pas(MAP, 0.7).tolist() == [[0.0, 0.25, 0.375, 0.5, 1.0], [0.625, 0.75, 0.875, 1.0, 1.0]]


def test_pas_of_a_map_that_is_mostly_its_minimum() -> None:
    sparse = torch.zeros(10, 10)
    sparse[4, 4:6] = torch.tensor([0.5, 2.0])
    assert pas(sparse).nonzero().tolist() == [[4, 4], [4, 5]]
    assert pas(sparse).max() == 1


def test_ivr() -> None:
    # Rank floor(0.6 * 10) = 6 holds 5.
    expected = torch.tensor([[0, 0, 0, 0, 1], [0, 0, 0, 1 / 3, 2 / 3]], dtype=torch.float64)
    torch.testing.assert_close(ivr(MAP), expected)


@pytest.mark.parametrize("function", [min_max, maximum, pas, ivr])
@pytest.mark.parametrize("value", [0.0, 3.0, -1.0])
def test_constant_maps_become_zeros(function, value) -> None:
    assert not function(torch.full((3, 4), value)).any()


@pytest.mark.parametrize("function", [min_max, maximum, pas, ivr])
def test_maps_with_nan_become_zeros(function) -> None:
    broken = MAP.clone()
    broken[0, 1] = torch.nan
    assert not function(broken).any()


def test_a_map_that_is_nowhere_positive_has_no_maximum_to_divide_by() -> None:
    assert not maximum(-torch.rand(3, 3)).any()


@pytest.mark.parametrize("function", [min_max, maximum, pas, ivr])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_range_and_dtype(function, dtype) -> None:
    found = function(torch.randn(14, 14, dtype=dtype))
    assert found.dtype == dtype
    assert found.min() == 0
    assert found.max() == 1


def test_names() -> None:
    by_name = {"min-max": min_max, "max": maximum, "pas": pas, "ivr": ivr}
    for name, function in by_name.items():
        assert torch.equal(normalize(MAP, name), function(MAP))
    assert normalize(MAP, "none") is MAP


def test_protocol_map_equals_the_reference(golden) -> None:
    vectors = golden("wsol/wsol")
    for index in range(40):
        found = protocol_map(torch.from_numpy(vectors[f"map_{index:02d}"]), 224, 224, "min-max", "map")
        torch.testing.assert_close(
            found[::16, ::16], torch.from_numpy(vectors["norm_sample"][index]), rtol=0, atol=1e-15
        )
        assert int((found * 255).to(torch.uint8).sum()) == vectors["uint8_sum"][index]
        if index == 7:
            torch.testing.assert_close(found, torch.from_numpy(vectors["norm_full_07"]), rtol=0, atol=1e-15)


def test_protocol_map_of_a_constant_is_zero_at_any_size() -> None:
    # 13 is chosen because its weights do not add up to one exactly: a resize would leave a pattern.
    assert not protocol_map(torch.full((13, 13), 0.7), 224, 224, "min-max", "map").any()
    assert not protocol_map(torch.full((13, 13), torch.nan), 224, 224, "min-max", "map").any()


def test_protocol_map_can_leave_a_score_map_as_it_is() -> None:
    score_map = torch.rand(20, 30)
    assert torch.equal(protocol_map(score_map, 20, 30, "none", "map"), score_map.double())
    resized = protocol_map(score_map.round(), 50, 50, "none", "map")
    assert resized.min() == 0
    assert resized.max() == 1


@pytest.mark.parametrize(
    ("score_map", "message"),
    [
        (torch.zeros(0, 14), r"a\.jpg: a score map must have height and width, but its shape is \(0, 14\)"),
        (torch.tensor([[0.0, torch.inf]]), r"a\.jpg: the score map has an infinite value"),
        (torch.tensor([[0.0, 1.5]]), r"a\.jpg: a score map that is not to be normalized must be within \[0, 1\]"),
    ],
)
def test_protocol_map_says_what_is_wrong(score_map, message) -> None:
    with pytest.raises(DataError, match=message):
        protocol_map(score_map, 224, 224, "none", "a.jpg")
