"""CAM: plain cross-entropy (Zhou et al., "Learning Deep Features for Discriminative Localization", 2016)."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from advcam.classify.wsol.method import plain_loss, plain_maps
from advcam.models.classifier import Classifier


class CAM(nn.Module):
    """The classifier as it is."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def loss(self, images: Float[Tensor, "n 3 H W"], labels: Int[Tensor, " n"]) -> dict[str, Tensor]:
        return plain_loss(self.classifier, images, labels)

    def score_maps(
        self, images: Float[Tensor, "n 3 H W"], classes: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n h w"], Float[Tensor, "n K"]]:
        return plain_maps(self.classifier, images, classes)
