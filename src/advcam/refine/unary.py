"""Unary energies of the dense CRF, from hard labels or from scores."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from advcam.data.pixels import takes_arrays
from advcam.errors import DataError, SettingsError


@takes_arrays
def unary_from_labels(
    labels: Int[Tensor, "H W"] | UInt8[Tensor, "H W"] | Int[np.ndarray, "H W"] | UInt8[np.ndarray, "H W"],
    num_labels: int,
    confidence: float = 0.7,
) -> Float[Tensor, "K H W"]:
    """Energies ``-ln(confidence)`` for a pixel's label, ``-ln((1 - confidence) / (K - 1))`` for each other one.

    Every label counts, 0 too: there is no "unsure" label. The default confidence is IRN's.

    Args:
        labels: values in ``0 .. num_labels - 1``.
        confidence: probability that a label is right, in (0, 1).

    Raises:
        DataError: a label outside ``0 .. num_labels - 1``.
        SettingsError: ``num_labels`` below 1, or a confidence that is no probability.

    >>> unary_from_labels(torch.tensor([[0, 2]]), 3)[:, 0, 0].exp().reciprocal()
    tensor([0.7000, 0.1500, 0.1500])
    """
    if num_labels < 1:
        raise SettingsError(f"num_labels must be 1 or more, not {num_labels}")
    if not 0 < confidence < 1:
        raise SettingsError(f"confidence must lie between 0 and 1, not at {confidence}")
    assert isinstance(labels, Tensor)
    lowest, highest = (int(labels.min()), int(labels.max())) if labels.numel() else (0, 0)
    if lowest < 0 or highest >= num_labels:
        raise DataError(
            f"the labels run from {lowest} to {highest}, but {num_labels} labels are 0 to {num_labels - 1}: "
            "number the image's labels from 0, and give pixels to ignore one of them"
        )
    other = (1 - confidence) / max(num_labels - 1, 1)
    unary = torch.full((num_labels, *labels.shape), -math.log(other), device=labels.device)
    return unary.scatter_(0, labels.long()[None], -math.log(confidence))


@takes_arrays
def unary_from_scores(scores: Float[Tensor, "K H W"], floor: float = 1e-5) -> Float[Tensor, "K H W"]:
    """Energies ``-ln(p)`` of scores or probabilities p, clipped to ``[floor, 1]``; p is not normalised.

    Raises:
        SettingsError: a floor outside (0, 1).

    >>> unary_from_scores(torch.tensor([1.0, 0.0]).view(2, 1, 1)).flatten()
    tensor([-0.0000, 11.5129])
    """
    if not 0 < floor < 1:
        raise SettingsError(f"floor must lie between 0 and 1, not at {floor}")
    return -scores.clamp(floor, 1).log()
