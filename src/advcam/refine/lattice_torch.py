"""The permutohedral lattice and mean-field inference in torch alone, for GPUs.

The same arithmetic as ``lattice_build`` and ``lattice_filter``: points are found by sorting their codes instead of
hashing them. Sums over pixels run over sorted segments rather than by atomic additions, so that a GPU gives the
same bits each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from advcam.refine.lattice import lattice_basis, lattice_codes


@dataclass(frozen=True)
class TensorLattice:
    """Lattice points of N feature vectors.

    ``vertices`` and ``weights`` are the corners of each vector's simplex and its barycentric coordinates there;
    ``order`` sorts the flattened corners by point, and ``counts`` says how many belong to each of the M points.
    ``forward`` and ``backward`` are each point's neighbours along the directions, M where there is none.
    """

    vertices: Int64[Tensor, "N corners"]
    weights: Float32[Tensor, "N corners"]
    order: Int64[Tensor, " shares"]
    counts: Int64[Tensor, " M"]
    forward: Int64[Tensor, "corners M"]
    backward: Int64[Tensor, "corners M"]

    def filter(self, values: Float32[Tensor, "N K"]) -> Float32[Tensor, "N K"]:
        """Splat, blur, slice: the sum over j of ``exp(-|f_i - f_j|^2 / 2) values_j``, up to a constant factor."""
        corners = self.vertices.shape[1]
        shares = self.weights.flatten()[self.order, None] * values[self.order // corners]
        points = torch.segment_reduce(shares, "sum", lengths=self.counts, unsafe=True)
        # A row of zeros at the end is the neighbour of the points that have none.
        points = torch.cat([points, points.new_zeros(1, points.shape[1])])
        for forward, backward in zip(self.forward, self.backward, strict=True):
            points[:-1] += 0.5 * (points[forward] + points[backward])
        sliced = torch.zeros_like(values)
        for corner in range(corners):
            sliced.addcmul_(self.weights[:, corner, None], points[self.vertices[:, corner]])
        return sliced


def build_lattice(features: Float32[Tensor, "N d"]) -> TensorLattice:
    """The lattice points around ``features``; see ``lattice_build`` for the rule on borders of simplices."""
    dimensions = features.shape[1]
    basis = torch.from_numpy(lattice_basis(dimensions)).to(features.device)
    # Summed in a fixed order, which a matrix product does not promise: equal coordinates must come out equal.
    coordinates = features.new_zeros(features.shape, dtype=torch.float64)
    for axis in range(dimensions):
        coordinates += features[:, axis, None] * basis[:, axis]
    cells = coordinates.ceil() - 1
    fractions = coordinates - cells
    # A stable sort of the reversed axes puts the later of two equal axes first.
    falling, moves = fractions.flip(1).sort(dim=1, descending=True, stable=True)
    one, zero = falling.new_ones(len(falling), 1), falling.new_zeros(len(falling), 1)
    weights = -torch.cat([one, falling, zero], dim=1).diff(dim=1)
    box = (features.amin(dim=0).cpu().numpy(), features.amax(dim=0).cpu().numpy())
    lower, steps = (torch.from_numpy(numbers).to(features.device) for numbers in lattice_codes(*box))
    first = ((cells.long() - lower) * steps).sum(dim=1, keepdim=True)
    codes_of_corners = torch.cat([first, first + steps.flip(0)[moves].cumsum(dim=1)], dim=1)
    codes, vertices, counts = codes_of_corners.unique(return_inverse=True, return_counts=True)
    deltas = torch.cat([steps, -steps.sum(dim=0, keepdim=True)])
    return TensorLattice(
        vertices=vertices,
        weights=weights.float(),
        order=vertices.flatten().argsort(stable=True),
        counts=counts,
        forward=torch.stack([_find(codes, codes + delta) for delta in deltas]),
        backward=torch.stack([_find(codes, codes - delta) for delta in deltas]),
    )


def mean_field(
    logits: Float32[Tensor, "K N"], kernels: Sequence[tuple[Float[Tensor, "N _"], float]], iterations: int
) -> Float32[Tensor, "K N"]:
    """Marginals after ``iterations`` of ``Q <- softmax(logits + sum_m w_m K_m Q)``; as in ``lattice_filter``."""
    filters = []
    for features, weight in kernels:
        lattice = build_lattice(features)
        row_sums = lattice.filter(features.new_ones(len(features), 1))
        filters.append((lattice, (weight / row_sums).sqrt()))
    scores = logits.T
    marginals = scores.softmax(dim=1)
    for _ in range(iterations):
        messages = torch.zeros_like(marginals)
        for lattice, scale in filters:
            messages += scale * lattice.filter(scale * marginals)
        marginals = (scores + messages).softmax(dim=1)
    return marginals.T.contiguous()


def _find(codes: Int64[Tensor, " M"], wanted: Int64[Tensor, " M"]) -> Int64[Tensor, " M"]:
    """Where in the sorted ``codes`` the wanted ones are; M where they are not."""
    places = torch.searchsorted(codes, wanted).clamp(max=len(codes) - 1)
    return torch.where(codes[places] == wanted, places, len(codes))
