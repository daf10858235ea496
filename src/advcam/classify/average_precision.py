"""How well scores rank the images of each class: exact average precision."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric


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


class RankedScores(Metric):
    """Collects the scores and targets of all processes, and yields the average precision of each class."""

    full_state_update = False
    scores: list[Tensor]
    targets: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("scores", default=[], dist_reduce_fx="cat")
        self.add_state("targets", default=[], dist_reduce_fx="cat")

    def update(self, scores: Float[Tensor, "n K"], targets: Float[Tensor, "n K"]) -> None:
        self.scores.append(scores)
        self.targets.append(targets)

    def compute(self) -> Float[Tensor, " K"]:
        return average_precision(_joined(self.scores), _joined(self.targets))


def _joined(parts: list[Tensor] | Tensor) -> Tensor:
    """What is gathered from several processes comes as one tensor already."""
    return parts if isinstance(parts, Tensor) else torch.cat(parts)
