"""CutMix: a box of each image, and its share of the label, is another one's (Yun et al. 2019; wsolevaluation)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advcam.classify.wsol.method import LocalizationMethod, plain_loss
from advcam.models.classifier import Classifier


class CutMix(nn.Module, LocalizationMethod):
    """Trained on mixed pairs, tested on single images.

    Args:
        beta: both parameters of the beta distribution of the share that an image keeps.
        rate: chance that a batch is mixed.
    """

    def __init__(self, classifier: Classifier, beta: float = 1.0, rate: float = 1.0) -> None:
        super().__init__()
        self.classifier, self.beta, self.rate = classifier, beta, rate

    def loss(self, images: Float[Tensor, "n 3 H W"], labels: Int[Tensor, " n"]) -> dict[str, Tensor]:
        if self.rate <= float(torch.rand(())):
            return plain_loss(self.classifier, images, labels)
        share = float(torch.distributions.Beta(self.beta, self.beta).sample())
        height, width = images.shape[2:]
        box = cut_box(share, height, width, int(torch.randint(height, ())), int(torch.randint(width, ())))
        other = torch.randperm(len(images)).to(images.device)
        mixed, kept = mix(images, other, box)
        logits = self.classifier(mixed)
        own, foreign = cross_entropy(logits, labels), cross_entropy(logits, labels[other])
        return {"loss": kept * own + (1 - kept) * foreign}


def cut_box(share: float, height: int, width: int, y: int, x: int) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the box around (x, y) that leaves about ``share`` of the image, cut off at the borders.

    Sides are ``trunc(side * sqrt(1 - share))``, half of them (rounded down) to each side of the centre.

    >>> cut_box(0.75, 224, 224, y=100, x=10)
    (0, 44, 66, 156)
    """
    side = math.sqrt(1 - share)
    half_h, half_w = int(height * side) // 2, int(width * side) // 2
    return max(0, x - half_w), max(0, y - half_h), min(width, x + half_w), min(height, y + half_h)


def mix(
    images: Float[Tensor, "n c H W"], other: Int[Tensor, " n"], box: tuple[int, int, int, int]
) -> tuple[Float[Tensor, "n c H W"], float]:
    """Each image with the box of its partner in it, and the share of the pixels that stayed its own.

    >>> mixed, kept = mix(torch.arange(2.0).reshape(2, 1, 1, 1).expand(2, 1, 4, 4), torch.tensor([1, 0]), (1, 0, 3, 2))
    >>> mixed[0, 0, 0].tolist(), kept
    ([0.0, 1.0, 1.0, 0.0], 0.75)
    """
    x0, y0, x1, y1 = box
    mixed = images.clone()
    mixed[:, :, y0:y1, x0:x1] = images[other, :, y0:y1, x0:x1]
    return mixed, 1 - (x1 - x0) * (y1 - y0) / (images.shape[2] * images.shape[3])
