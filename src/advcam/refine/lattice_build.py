"""The permutohedral lattice of a set of features, on the CPU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Int32

from advcam.refine.lattice import compiled, lattice_basis, lattice_codes

_GOLDEN = -7046029254386353131  # 2**64 divided by the golden ratio, as a signed number: Fibonacci hashing
_FIRST_SLOTS = 1 << 14


@dataclass(frozen=True)
class Lattice:
    """Which lattice points N feature vectors of d dimensions touch, and how the points hang together.

    ``vertices`` and ``weights`` are the corners of each vector's simplex and its barycentric coordinates there.
    ``chains`` lists, for the d + 1 directions one after the other, every run of two or more points that follow each
    other in that direction; each run ends with -1. A blur walks them in place and never visits a lone point.
    """

    vertices: Int32[np.ndarray, "N corners"]
    weights: Float32[np.ndarray, "N corners"]
    chains: Int32[np.ndarray, " c"]
    num_points: int


def build_lattice(features: Float32[np.ndarray, "N d"]) -> Lattice:
    """The lattice points around ``features``, whose kernel is ``exp(-|f_i - f_j|^2 / 2)``.

    >>> import numpy as np
    >>> build_lattice(np.zeros((4, 2), np.float32)).num_points
    3
    """
    dimensions = features.shape[1]
    # Tuples, because their length is part of their type: the compiler unrolls the loops over the dimensions.
    lower, steps = lattice_codes(features.min(axis=0), features.max(axis=0))
    basis = lattice_basis(dimensions).ravel()
    vertices, weights, codes, slots = _insert(features, *(tuple(row.tolist()) for row in (basis, lower, steps)))
    deltas = np.append(steps, -steps.sum())
    return Lattice(vertices, weights, _chains(codes, slots, deltas), len(codes))


@compiled
@no_type_check
def _slot(code, codes, slots):
    """Where in the open-addressing table ``slots`` the point of this code is, or would be."""
    mask = slots.size - 1
    s = ((code * _GOLDEN) >> 32) & mask
    while slots[s] >= 0 and codes[slots[s]] != code:
        s = (s + 1) & mask
    return s


@compiled
@no_type_check
def _insert(features, basis, lower, steps):
    """Corners and barycentric weights of every vector; points are numbered in the order of their first use."""
    num_features = features.shape[0]
    dimensions = len(steps)
    corners = dimensions + 1
    vertices = np.empty((num_features, corners), np.int32)
    weights = np.empty((num_features, corners), np.float32)
    codes = np.empty(num_features * corners, np.int64)
    slots = np.full(_FIRST_SLOTS, -1, np.int32)
    count = 0
    fractions = np.empty(dimensions)
    falling = np.zeros(dimensions + 2)
    falling[0] = 1.0
    moves = np.zeros(corners, np.int64)
    previous = np.full(corners, -1, np.int64)
    for p in range(num_features):
        code = 0
        for i in range(dimensions):
            y = 0.0
            for c in range(dimensions):
                y += basis[i * dimensions + c] * features[p, c]
            # A vector on the border of two simplices lies in both, but which of their corners come into being decides
            # how far a blur reaches. Fractions in (0, 1] here, and the later axis first below, settle it as the
            # common implementations do (a whole image column has x = 0, so this is no rare case).
            cell = math.ceil(y) - 1.0
            fractions[i] = y - cell
            code += (np.int64(cell) - lower[i]) * steps[i]
        for i in range(dimensions):
            rank = 0
            for j in range(dimensions):
                if j < i:
                    rank += fractions[j] > fractions[i]
                elif j > i:
                    rank += fractions[j] >= fractions[i]
            falling[rank + 1] = fractions[i]
            moves[rank] = steps[i]
        for r in range(corners):
            weights[p, r] = falling[r] - falling[r + 1]
            if code == previous[r]:
                vertices[p, r] = vertices[p - 1, r]
            else:
                s = _slot(code, codes, slots)
                if slots[s] < 0:
                    slots[s] = count
                    codes[count] = code
                    count += 1
                vertices[p, r] = slots[s]
                previous[r] = code
                if 2 * count > slots.size:
                    slots = np.full(2 * slots.size, -1, np.int32)
                    for q in range(count):
                        slots[_slot(codes[q], codes, slots)] = q
            code += moves[r]
    return vertices, weights, codes[:count].copy(), slots


@compiled
@no_type_check
def _chains(codes, slots, deltas):
    """The runs of ``Lattice.chains``; a neighbour's code differs by ``deltas[direction]``."""
    num_points = codes.size
    chains = np.empty(deltas.size * (num_points + num_points // 2), np.int32)
    length = 0
    following = np.empty(num_points, np.int32)
    leads = np.empty(num_points, np.bool_)
    for delta in deltas:
        leads[:] = True
        for p in range(num_points):
            after = slots[_slot(codes[p] + delta, codes, slots)]
            following[p] = after
            if after >= 0:
                leads[after] = False
        for p in range(num_points):
            if leads[p] and following[p] >= 0:
                q = p
                while q >= 0:
                    chains[length] = q
                    length += 1
                    q = following[q]
                chains[length] = -1
                length += 1
    return chains[:length].copy()
