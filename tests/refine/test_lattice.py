"""The permutohedral lattice: its geometry, the two ways to build it, and the vectors of the compiled filter."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numba import njit

from advcam.errors import SettingsError
from advcam.refine import lattice_filter, lattice_torch
from advcam.refine.lattice import lattice_basis, lattice_codes
from advcam.refine.lattice_build import build_lattice
from advcam.refine.lattice_lanes import exp_below, lanes_of, load, store, total

Filter = Callable[[np.ndarray], np.ndarray]


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def compiled_row_sums(features: np.ndarray) -> np.ndarray:
    return lattice_filter.row_sums(build_lattice(features))


def tensor_row_sums(features: np.ndarray) -> np.ndarray:
    lattice = lattice_torch.build_lattice(torch.from_numpy(features))
    return lattice.filter(torch.ones(len(features), 1))[:, 0].numpy()


both = pytest.mark.parametrize("row_sums", [compiled_row_sums, tensor_row_sums])


@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_basis_vectors_have_the_angles_of_the_lattice(dimensions: int) -> None:
    # The d + 1 directions of the lattice are the corners of a regular simplex: all of one length and at one angle.
    directions = np.linalg.inv(lattice_basis(dimensions)).T
    directions = np.vstack([directions, -directions.sum(axis=0)])
    products = directions @ directions.T
    length = products[0, 0]
    np.testing.assert_allclose(np.diag(products), length)
    np.testing.assert_allclose(products[~np.eye(dimensions + 1, dtype=bool)], -length / dimensions)
    # Blur and interpolation have variance 1/2 + 1/6 + 1/6 of a direction each; together they shall have 1.
    assert length == pytest.approx(1.5 * dimensions / (dimensions + 1))


@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_a_feature_lies_in_one_simplex(dimensions: int) -> None:
    lattice = build_lattice(normal(1, dimensions))
    assert sorted(lattice.vertices[0]) == list(range(dimensions + 1))
    assert lattice.num_points == dimensions + 1
    assert (lattice.weights >= 0).all()
    assert lattice.weights.sum() == pytest.approx(1, abs=1e-6)


@both
def test_a_line_of_features_between_lattice_points(row_sums: Filter) -> None:
    # In one dimension the cells are sqrt(3)/2 wide and the blur is (1/4, 1, 3/2, 1, 1/4), whose sum is 4. Features in
    # the middle of their cells give half to each side: inner points hold 1, the two end points 1/2.
    features = ((np.arange(9) + 0.5) * math.sqrt(3) / 2).astype(np.float32)[:, None]
    sums = row_sums(features)
    np.testing.assert_allclose(sums[3:-3], 4, atol=1e-5)
    # First pass: 1/2 + 1/2 = 1, then 1/4 + 1 + 1/2 = 7/4, then 2. Second pass: 15/8, then 13/4, then 31/8.
    assert sums[0] == pytest.approx((15 / 8 + 13 / 4) / 2, abs=1e-5)
    assert sums[1] == pytest.approx((13 / 4 + 31 / 8) / 2, abs=1e-5)


def test_response_is_a_gaussian_of_unit_standard_deviation() -> None:
    # Where in its simplex a feature lies changes the response, so it is averaged over shifts.
    axis = torch.arange(-40, 41) / 8
    features = torch.cartesian_prod(axis, axis).float()
    squares = features.square()
    impulse = (squares.sum(dim=1) == 0).float()[:, None]
    exact = torch.exp(-squares.sum(dim=1) / 2)
    responses = [
        lattice_torch.build_lattice(features + 10 * torch.rand(2)).filter(impulse)[:, 0].double() for _ in range(24)
    ]
    response = torch.stack([response / response.sum() for response in responses]).mean(dim=0)
    assert (response[:, None] * squares).sum(dim=0).tolist() == pytest.approx([1, 1], abs=0.04)
    assert (response - exact / exact.sum()).abs().sum() < 0.1


@both
def test_row_sums_do_not_depend_on_the_order_of_the_features(row_sums: Filter) -> None:
    features = normal(500, 5)
    order = np.arange(500)[::-1]
    np.testing.assert_allclose(row_sums(features)[order], row_sums(features[order]), rtol=1e-5)


@pytest.mark.parametrize(("count", "dimensions", "spread"), [(1, 2, 1.0), (300, 1, 4.0), (400, 3, 1.0), (6000, 5, 9.0)])
def test_hashing_and_sorting_find_the_same_lattice(count: int, dimensions: int, spread: float) -> None:
    features = spread * normal(count, dimensions)
    features[: count // 4, 0] = 0  # on borders of simplices
    lattice = build_lattice(features)
    assert lattice.num_points == len(lattice_torch.build_lattice(torch.from_numpy(features)).counts)
    np.testing.assert_allclose(compiled_row_sums(features), tensor_row_sums(features), rtol=1e-5)


def test_chains_are_neighbours_in_both_ways_of_building() -> None:
    features = normal(400, 2)
    chains = build_lattice(features).chains
    lattice = lattice_torch.build_lattice(torch.from_numpy(features))
    links = ((chains[:-1] >= 0) & (chains[1:] >= 0)).sum()
    assert links == (lattice.forward < len(lattice.counts)).sum()
    assert links == (lattice.backward < len(lattice.counts)).sum()
    assert (np.diff(np.flatnonzero(chains < 0)) > 2).all()  # no run of a single point


def test_too_many_cells_to_number() -> None:
    box = np.full(5, 1e6, np.float32)
    with pytest.raises(SettingsError, match="too small for this image"):
        lattice_codes(-box, box)


def test_steps_number_every_point_of_the_box_once() -> None:
    lower, steps = lattice_codes(np.array([0, 0], np.float32), np.array([3, 2], np.float32))
    basis = lattice_basis(2)
    corners = np.array([basis @ [x, y] for x in (0, 3) for y in (0, 2)])
    assert (corners - lower > 1).all()
    assert steps[0] == 1
    assert steps[1] > np.ceil(corners[:, 0]).max() - lower[0] + 1


@njit
def _exponentials(values, top, lanes):
    for column in range(0, values.shape[1], len(lanes)):
        row = load(values, 0, column, lanes)
        store(values, 1, column, exp_below(row, top))
        values[2, column] = total(row)


@pytest.mark.parametrize("width", [4, 8])
def test_vectors(width: int) -> None:
    values = np.zeros((3, 800), np.float32)
    values[0] = np.linspace(-70, 3, 800)
    _exponentials(values, np.float32(3), lanes_of(width))
    difference = values[0] - np.float32(3)
    exact = np.exp(difference.astype(np.float64))
    is_kept = difference > -60
    np.testing.assert_allclose(values[1, is_kept], exact[is_kept], rtol=3e-7)
    assert (values[1, ~is_kept] == 0).all()
    rows = values[0].reshape(-1, width)
    np.testing.assert_allclose(values[2, ::width], rows.sum(axis=1, dtype=np.float64), rtol=1e-5, atol=1e-5)
