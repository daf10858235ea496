"""The permutohedral lattice: where a feature vector lies in it, and how its points are numbered.

The lattice lets a Gaussian filter over N feature vectors of d dimensions run in time linear in N (Adams et al.,
"Fast high-dimensional filtering using the permutohedral lattice", 2010): each vector spreads its value over the
d + 1 corners of the simplex it lies in (splat), the values are blurred along the lattice's d + 1 directions with the
taps 1/2, 1, 1/2, and each vector collects from its corners again (slice).

Here points are written in the basis of the first d directions. The simplices then are those of Kuhn's
triangulation: with y the coordinates of a vector, the corners are met by starting at the cell's lower corner and
adding one unit vector after the other, in the order of falling fractional parts. The last direction of the lattice
is minus the sum of the basis, so one integer code per point, linear in its coordinates, is enough: neighbours
differ by a constant.

The parts: ``lattice_build`` and ``lattice_filter`` on the CPU (compiled by numba), ``lattice_torch`` on GPUs.
"""

from __future__ import annotations

import itertools
import operator

import numpy as np
from jaxtyping import Float32, Float64, Int64

from advcam import kernels
from advcam.errors import SettingsError

# No interpreter's lock, so that threads can work on several images; fused multiply-add allowed, nothing else relaxed.
# Compiled functions here call none of another file but those of ``lattice_lanes``.
compiled = kernels.compiled(nogil=True, error_model="numpy", fastmath={"contract"})


def lattice_basis(dimensions: int) -> Float64[np.ndarray, "d d"]:
    """The matrix that takes features of unit standard deviation to lattice coordinates, ``y = basis @ feature``.

    Its scale makes splat, blur and slice together a Gaussian of standard deviation 1 (Adams et al., section 3.1).
    """
    axes = np.arange(dimensions)
    scale = np.sqrt(2 / 3) / np.sqrt((axes + 1) * (axes + 2))
    basis = -np.triu(np.broadcast_to(scale, (dimensions, dimensions)))
    basis[axes[1:], axes[:-1]] = axes[1:] * scale[:-1]
    basis[:, -1] -= dimensions * scale[-1]
    return basis


def lattice_codes(
    lowest: Float32[np.ndarray, " d"], highest: Float32[np.ndarray, " d"]
) -> tuple[Int64[np.ndarray, " d"], Int64[np.ndarray, " d"]]:
    """How to number the lattice points around all features in the box from ``lowest`` to ``highest``.

    Returns ``(lower, steps)``: the code of a point is ``steps @ (point - lower)``, which is unique for every corner
    of a simplex in the box and for all their neighbours.
    """
    basis = lattice_basis(len(lowest))
    ends = np.stack([basis * lowest, basis * highest])
    # A cell wider than the box on each side, so that neither rounding nor a neighbour leads outside.
    lower = np.floor(ends.min(axis=0).sum(axis=1)).astype(np.int64) - 2
    upper = np.ceil(ends.max(axis=0).sum(axis=1)).astype(np.int64) + 2
    widths = (upper - lower + 1).tolist()
    steps = [1, *itertools.accumulate(widths, operator.mul)]
    if steps.pop() > 2**62:
        raise SettingsError(
            "the CRF's standard deviations (sxy, srgb) are too small for this image: "
            f"its lattice would span {' x '.join(map(str, widths))} cells; use larger ones"
        )
    return lower, np.array(steps, dtype=np.int64)
