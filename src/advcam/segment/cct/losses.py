"""CCT's losses on logits: supervised, consistency between two predictions, and between the auxiliary ones.

Source: the CCT paper, sections 3.1 to 3.3, and its program. Shape suffixes: n images, K labels, H W pixels. Half
precision is computed in single precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer, UInt8
from torch import Tensor

from advcam.data.masks import IGNORE
from advcam.models.ranges import at_least_single
from advcam.segment.loss import cross_entropy as cross_entropy

Distance = Literal["mse", "kl", "js"]
Labels = Integer[Tensor, "n H W"] | UInt8[Tensor, "n H W"]

_JS_FLOOR = 1e-5


def focal(logits_nKHW: Float[Tensor, "n K H W"], labels_nHW: Labels, gamma: float = 2.0) -> Float[Tensor, ""]:
    """Mean of ``-(1 - p)^gamma ln p`` over the pixels that are not 255: an alternative that the program offers.

    The labels weigh the same; the program can also weigh them by their frequency.

    >>> focal(torch.zeros(1, 2, 1, 2), torch.tensor([[[1, 255]]]))
    tensor(0.1733)
    """
    log_p = _log_probability_of_label(logits_nKHW, labels_nHW)
    return -((1 - log_p.exp()) ** gamma * log_p).sum() / max(log_p.numel(), 1)


def annealed_cross_entropy(
    logits_nKHW: Float[Tensor, "n K H W"], labels_nHW: Labels, threshold: float
) -> Float[Tensor, ""]:
    """Annealed bootstrapped cross-entropy (section 3.3): only pixels whose label has ``p < threshold`` count.

    At least the ``n`` worst pixels are wanted, one per image: the threshold is raised to the ``n + 1``-th smallest
    ``p`` of the batch where that is greater (and where equal ones do not keep even these out). The mean is over the
    pixels that count; 0, with a gradient of 0, where none does.

    Args:
        threshold: ``objective.bootstrap_threshold``.

    >>> logits = torch.tensor([2.0, -2.0, -3.0, -4.0]).reshape(1, 1, 2, 2)
    >>> annealed_cross_entropy(torch.cat([torch.zeros_like(logits), logits], dim=1), torch.ones(1, 2, 2).long(), 0.1)
    tensor(3.5334)
    """
    log_p = _log_probability_of_label(logits_nKHW, labels_nHW)
    if log_p.numel() == 0:
        return log_p.sum()
    p = log_p.detach().exp()
    kept = min(logits_nKHW.shape[0], p.numel() - 1)
    bound = p.kthvalue(kept + 1).values.clamp(min=threshold)
    counts = p < bound
    return -log_p[counts].sum() / counts.sum().clamp(min=1)


def consistency(
    logits_nKHW: Float[Tensor, "n K H W"],
    target_nKHW: Float[Tensor, "n K H W"],
    distance: Distance = "mse",
    confidence: float | None = None,
) -> Float[Tensor, ""]:
    """How far the softmax ``a`` of some logits is from target probabilities ``q``: mean over n, K, H and W.

    "mse": ``(a - q)^2``. "kl": ``q (ln q - ln a)``. "js": half of ``m (ln m - ln a)`` plus half of
    ``m (ln m - ln(q + 1e-5))`` with ``m = (a + q) / 2``, the program's form of the Jensen-Shannon divergence.

    Args:
        logits_nKHW: of an auxiliary decoder.
        target_nKHW: probabilities of the main decoder, without gradient.
        distance: the paper's is "mse".
        confidence: only pixels where the greatest ``q`` is above it count; None counts all. With none counting: 0.

    >>> q = torch.tensor([0.75, 0.25]).reshape(1, 2, 1, 1)
    >>> [round(float(consistency(torch.zeros(1, 2, 1, 1), q, name)), 4) for name in ("mse", "kl", "js")]
    [0.0625, 0.0654, 0.0174]
    """
    logits, q = at_least_single(logits_nKHW), at_least_single(target_nKHW)
    if distance == "mse":
        parts = (logits.softmax(dim=1) - q).square()
    elif distance == "kl":
        parts = torch.xlogy(q, q) - q * logits.log_softmax(dim=1)
    else:
        log_a = logits.log_softmax(dim=1)
        m = (log_a.exp() + q) / 2
        parts = torch.xlogy(m, m) - m * (log_a + (q + _JS_FLOOR).log()) / 2
    if confidence is None:
        return parts.mean()
    sure_n1HW = q.amax(dim=1, keepdim=True) > confidence
    return (parts * sure_n1HW).sum() / (sure_n1HW.sum() * parts.shape[1]).clamp(min=1)


def pairwise(logits: Sequence[Float[Tensor, "n K H W"]]) -> Float[Tensor, ""]:
    """Variance of several decoders' softmax probabilities, summed over the labels, mean over n, H and W.

    An option of the program, which takes at most 8 decoders at random.

    >>> sure = torch.tensor([100.0, 0.0]).reshape(1, 2, 1, 1)
    >>> pairwise([sure, -sure])
    tensor(0.5000)
    """
    probabilities = torch.stack([at_least_single(one).softmax(dim=1) for one in logits])
    return probabilities.var(dim=0, correction=0).sum(dim=1).mean()


def _log_probability_of_label(logits_nKHW: Tensor, labels_nHW: Tensor) -> Float[Tensor, " valid"]:
    labels = labels_nHW.long()
    log_p = -F.cross_entropy(at_least_single(logits_nKHW), labels, ignore_index=IGNORE, reduction="none")
    return log_p[labels != IGNORE]
