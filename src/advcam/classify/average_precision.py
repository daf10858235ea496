"""How well scores rank the images of each class: exact average precision."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def average_precision(scores: Float[Tensor, "n K"], targets: Float[Tensor, "n K"]) -> Float[Tensor, " K"]:
    """Average precision of each class over ``n`` images, in [0, 1]; NaN for a class that no image has.

    The mean over the positive images of the precision at their score, where precision counts every image that
    scores at least as much; images of equal score stand at the same place, so that the order of the images cannot
    matter. It is the area under the precision-recall curve without interpolation.

    >>> average_precision(torch.tensor([[0.9], [0.8], [0.7], [0.1]]), torch.tensor([[1.0], [0.0], [1.0], [0.0]]))
    tensor([0.8333])
    """
    columns = []
    for score, target in zip(scores.T, targets.T, strict=True):
        ordered, places = score.sort(descending=True, stable=True)
        hits = target[places].double().cumsum(0)
        # Of a run of equal scores, the last one knows how many images score at least as much.
        last = torch.searchsorted(-ordered, -ordered, right=True) - 1
        precision = hits[last] / (last + 1)
        columns.append((precision * target[places]).sum() / hits[-1:].sum())
    return torch.stack(columns).to(scores.dtype)
