"""What the localization methods have in common: a classifier, a loss, and the maps that are tested."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advcam.models.classifier import Classifier
from advcam.models.mapper import of_class


@runtime_checkable
class LocalizationMethod(Protocol):
    """A method under training: a module that holds the classifier and what the method adds to it.

    What is left after the training is the classifier, an ordinary one, and for ACoL its second head.
    """

    classifier: Classifier
    map: ClassVar[str] = "cam"
    """What is tested of it, by the name that ``attribute.map`` has for it."""

    def loss(self, images: Float[Tensor, "n 3 H W"], labels: Int[Tensor, " n"]) -> dict[str, Tensor]:
        """The loss of a training batch, and its parts."""
        ...

    def score_maps(
        self, images: Float[Tensor, "n 3 H W"], classes: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n h w"], Float[Tensor, "n K"]]:
        """The map of each image's class, as the benchmark tests it, and the logits of all classes: all but ACoL test
        the signed class activation maps ``w_c . f``, whose bias and factor cancel in the min-max."""
        mapper = self.classifier.mapper()
        maps_NKhw = mapper.class_maps(images)
        return of_class(maps_NKhw, classes), mapper.logits(maps_NKhw)


def plain_loss(classifier: Classifier, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Softmax cross-entropy."""
    return {"loss": cross_entropy(classifier(images), labels)}


class CAM(nn.Module, LocalizationMethod):
    """The classifier as it is, trained by plain cross-entropy (Zhou et al., "Learning Deep Features for Discriminative
    Localization", 2016)."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def loss(self, images: Float[Tensor, "n 3 H W"], labels: Int[Tensor, " n"]) -> dict[str, Tensor]:
        return plain_loss(self.classifier, images, labels)
