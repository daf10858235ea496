"""IRN's training loss: class-equivalence of pairs through the edge map, and their displacement to a common centroid.

Shape suffixes as in ``refine/pairs.py``: ``h w`` the grid, ``o`` offsets, ``r c`` rows and columns of sources.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from advcam.errors import DataError
from advcam.models.ranges import at_least_single
from advcam.refine.irn.propagation import path_affinities
from advcam.refine.pairs import (
    PairLabels,
    affinity_losses,
    cells_at,
    mean_over,
    pair_offsets,
)


@dataclass(frozen=True)
class IRNLoss:
    """The four terms of the loss; all are means over the chosen pairs of the batch."""

    alike: Float[Tensor, ""]
    """Cross entropy of pairs of one label; background and foreground pairs count the same."""
    different: Float[Tensor, ""]
    """Cross entropy of pairs of different labels."""
    displacement_foreground: Float[Tensor, ""]
    """How far the displacements of foreground pairs are from pointing at one centroid, in cells per axis."""
    displacement_background: Float[Tensor, ""]
    """Difference of the displacements of background pairs, in cells per axis."""

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        edge = (self.alike + self.different) / 2
        return edge + (self.displacement_foreground + self.displacement_background) / 2


def irn_loss(
    edge_logits: Float[Tensor, "n h w"], displacements: Float[Tensor, "n 2 h w"], labels: PairLabels, radius: int = 10
) -> IRNLoss:
    """The loss of a batch, as in the reference program.

    ``alike`` and ``different`` are those of ``pairs.affinity_losses`` for ``a = 1 - max sigmoid(edge_logits)`` over
    the path. With ``d = D(source) - D(destination)``, two cells of one object point at one centroid if ``d`` is the
    offset between them; on the background ``d`` should be zero. Half precision is computed in single precision.

    Args:
        edge_logits: before the sigmoid.
        displacements: ``(dy, dx)`` in cells.
        labels: ``pairs.pair_labels`` of the label maps on this grid, with the same radius.

    >>> from advcam.refine.pairs import pair_labels
    >>> labels = pair_labels(torch.ones(1, 32, 32, dtype=torch.int64), radius=5)
    >>> irn_loss(torch.zeros(1, 32, 32), torch.zeros(1, 2, 32, 32), labels, radius=5).alike
    tensor(0.3466)
    """
    counts = labels.counts()
    # Half a gigabyte of pairs per image: they are made again in the backward pass, one image after the other.
    parts = [
        checkpoint(
            _terms,
            edge_logits[index : index + 1],
            displacements[index : index + 1],
            labels.of_image(index),
            counts,
            radius,
            use_reentrant=False,
        )
        for index in range(len(edge_logits))
    ]
    return IRNLoss(*torch.stack([torch.stack(part) for part in parts]).sum(dim=0))


def _terms(
    edge_logits: Tensor, displacements: Tensor, labels: PairLabels, counts: PairLabels, radius: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What one image adds to the four terms of its batch."""
    affinities = path_affinities(at_least_single(edge_logits).sigmoid(), radius)
    found = pair_displacements(at_least_single(displacements), radius)
    wanted = torch.tensor(pair_offsets(radius), dtype=found.dtype, device=found.device).T[:, :, None, None]
    return (
        *affinity_losses(affinities, labels, counts),
        mean_over(_both_axes(labels.foreground), (found - wanted).abs(), 2 * counts.foreground),
        mean_over(_both_axes(labels.background), found.abs(), 2 * counts.background),
    )


def pair_displacements(displacements: Float[Tensor, "*n 2 h w"], radius: int) -> Float[Tensor, "*n 2 o r c"]:
    """``D(source) - D(destination)`` of all pairs.

    >>> pair_displacements(torch.zeros(2, 32, 32), radius=5).shape
    torch.Size([2, 34, 28, 24])
    """
    source = cells_at(displacements, (0, 0), radius).unsqueeze(-3)
    return source - torch.stack([cells_at(displacements, offset, radius) for offset in pair_offsets(radius)], dim=-3)


def reduced_labels(labels: Integer[Tensor, "*n H W"], stride: int = 4) -> Integer[Tensor, "*n h w"]:
    """A label map on the grid of the edge map, for ``pair_labels``: the label at the middle of each cell.

    Args:
        labels: 0 background, class + 1, 255 ignore; sides are multiples of ``stride``.

    Raises:
        DataError: a side is not a multiple of the stride.

    >>> reduced_labels(torch.arange(32).reshape(4, 8))
    tensor([[18, 22]])
    """
    if labels.shape[-2] % stride or labels.shape[-1] % stride:
        raise DataError(
            f"a label map of {labels.shape[-2]} x {labels.shape[-1]} pixels cannot be reduced by {stride}: "
            f"crop or pad it to multiples of {stride}"
        )
    return labels[..., stride // 2 :: stride, stride // 2 :: stride]


def _both_axes(pairs: Tensor) -> Tensor:
    return pairs.unsqueeze(-4).expand(*pairs.shape[:-3], 2, *pairs.shape[-3:])
