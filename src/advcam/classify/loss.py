"""The two losses of the paper's classifiers."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from advcam.models.ranges import at_least_single


def classification_loss(
    scores: Float[Tensor, "n K"],
    targets: Float[Tensor, "n K"],
    kind: Literal["multilabel_soft_margin", "softmax"] = "multilabel_soft_margin",
) -> Float[Tensor, ""]:
    """The mean loss of a batch, computed in float32 at least.

    Args:
        scores: before sigmoid or softmax.
        targets: 1 for each class of an image, 0 for the others.
        kind: "multilabel_soft_margin" is the mean over images and classes of
            ``-t * log(sigmoid(y)) - (1 - t) * log(1 - sigmoid(y))`` (IRN, section 5.1 of the paper); "softmax" is the
            mean over images of ``-log softmax(y)`` at the image's one class (section 6.1).

    >>> import torch
    >>> classification_loss(torch.zeros(2, 4), torch.zeros(2, 4))
    tensor(0.6931)
    """
    scores = at_least_single(scores)
    if kind == "softmax":
        return F.cross_entropy(scores, targets.argmax(dim=1))
    return F.multilabel_soft_margin_loss(scores, targets)
