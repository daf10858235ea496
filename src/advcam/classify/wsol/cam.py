"""CAM: plain cross-entropy (Zhou et al., "Learning Deep Features for Discriminative Localization", 2016)."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from advcam.classify.wsol.method import LocalizationMethod, plain_loss
from advcam.models.classifier import Classifier


class CAM(nn.Module, LocalizationMethod):
    """The classifier as it is."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def loss(self, images: Float[Tensor, "n 3 H W"], labels: Int[Tensor, " n"]) -> dict[str, Tensor]:
        return plain_loss(self.classifier, images, labels)
