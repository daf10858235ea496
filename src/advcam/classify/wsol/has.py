"""HaS, hide and seek: squares of the image are hidden at random (Singh and Lee, 2017), as wsolevaluation does it."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from advcam.classify.wsol.method import LocalizationMethod, plain_loss
from advcam.models.classifier import Classifier


class HaS(nn.Module, LocalizationMethod):
    """Trained on images with hidden squares, tested on whole ones.

    Args:
        grid: side of a square in pixels; 0 hides nothing.
        rate: chance that a square is hidden.
    """

    def __init__(self, classifier: Classifier, grid: int = 4, rate: float = 0.5) -> None:
        super().__init__()
        self.classifier, self.grid, self.rate = classifier, grid, rate

    def loss(self, images: Float[Tensor, "n 3 H W"], labels: Int[Tensor, " n"]) -> dict[str, Tensor]:
        return plain_loss(self.classifier, hide(images, self.grid, self.rate), labels)


def hide(images: Float[Tensor, "n c H W"], grid: int, rate: float) -> Float[Tensor, "n c H W"]:
    """Squares of ``grid`` pixels from the upper left corner, each set to 0, the mean colour, with chance ``rate``.

    The last squares of a row or column may be cut off by the border.

    >>> hide(torch.ones(2, 3, 5, 7), grid=4, rate=1.0).count_nonzero().item()
    0
    >>> hide(torch.ones(2, 3, 5, 7), grid=0, rate=1.0).count_nonzero().item()
    210
    """
    if grid == 0:
        return images
    count, _, height, width = images.shape
    rows, columns = -(-height // grid), -(-width // grid)
    seen = (torch.rand(count, 1, rows, columns, device=images.device) > rate).to(images.dtype)
    seen = seen.repeat_interleave(grid, dim=2).repeat_interleave(grid, dim=3)
    return images * seen[:, :, :height, :width]
