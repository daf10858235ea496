"""ACoL: a second head learns from what the first one did not look at (Zhang et al. 2018), as wsolevaluation does it."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import conv2d, cross_entropy

from advcam.classify.wsol.method import LocalizationMethod
from advcam.errors import ModelError
from advcam.models.classifier import Classifier
from advcam.models.mapper import of_class
from advcam.models.ranges import min_max
from advcam.models.tails import Init, TailedFeatures, convolutions


class ACoL(nn.Module, LocalizationMethod):
    """Two heads of the same form on one trunk; the classifier is the first.

    Args:
        classifier: an architecture ``...+acol``, whose tail and head are the first head.
        threshold: of the first head's normalised map, from which on the second head sees nothing.
    """

    map: ClassVar[str] = "acol"

    def __init__(self, classifier: Classifier, threshold: float = 0.7) -> None:
        super().__init__()
        features = classifier.backbone
        if not isinstance(features, TailedFeatures):
            raise ModelError(
                f"ACoL needs a network with a head of convolutions, such as {classifier.architecture}+acol"
            )
        self.classifier, self.threshold = classifier, threshold
        first: nn.Conv2d = features.tail.get_submodule("conv1")  # type: ignore[assignment]
        pooled = hasattr(features.tail, "pool")
        init: Init = "kaiming" if classifier.architecture == "wsol/resnet50+acol" else "xavier"
        self.second_tail = convolutions(first.in_channels, width=first.out_channels, pool=pooled, init=init)
        self.second_head = nn.Linear(classifier.head.in_features, classifier.num_classes)
        nn.init.xavier_uniform_(self.second_head.weight)
        nn.init.zeros_(self.second_head.bias)

    @property
    def options(self) -> dict[str, float]:
        """What it is built with, beside the classifier."""
        return {"acol_threshold": self.threshold}

    def loss(self, images: Float[Tensor, "n 3 H W"], labels: Int[Tensor, " n"]) -> dict[str, Tensor]:
        features, first_NChw = self._first(images)
        logits_a = self.classifier.head(first_NChw.mean(dim=(2, 3)))
        maps_a = self._class_maps(first_NChw, self.classifier.head)
        second_NChw = self.second_tail(erased(features, of_class(maps_a, labels), self.threshold))
        logits_b = self.second_head(second_NChw.mean(dim=(2, 3)))
        loss_a, loss_b = cross_entropy(logits_a, labels), cross_entropy(logits_b, labels)
        return {"loss": loss_a + loss_b, "first": loss_a, "second": loss_b}

    def score_maps(
        self, images: Float[Tensor, "n 3 H W"], classes: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n h w"], Float[Tensor, "n K"]]:
        maps_a, maps_b, logits = self.both_maps(images, classes)
        return fused(maps_a, maps_b), logits

    def both_maps(
        self, images: Float[Tensor, "n 3 H W"], classes: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n h w"], Float[Tensor, "n h w"], Float[Tensor, "n K"]]:
        """The class's map of either head, and the first head's logits, which classify.

        What the second head does not see is chosen by the class that the first one finds, as in the benchmark's test.
        """
        features, first_NChw = self._first(images)
        maps_NKhw = self._class_maps(first_NChw, self.classifier.head)
        logits = self.classifier.head(first_NChw.mean(dim=(2, 3)))
        hidden = erased(features, of_class(maps_NKhw, logits.argmax(dim=1)), self.threshold)
        second = self._class_maps(self.second_tail(hidden), self.second_head)
        return of_class(maps_NKhw, classes), of_class(second, classes), logits

    def _first(self, images: Tensor) -> tuple[Tensor, Tensor]:
        network = self.classifier.backbone
        assert isinstance(network, TailedFeatures)
        features = network.trunk(images)
        return features, network.tail(features)

    @staticmethod
    def _class_maps(features: Float[Tensor, "n c h w"], head: nn.Linear) -> Float[Tensor, "n K h w"]:
        return conv2d(features, head.weight[:, :, None, None], head.bias)


def erased(
    features: Float[Tensor, "n c h w"], maps: Float[Tensor, "n h w"], threshold: float
) -> Float[Tensor, "n c h w"]:
    """The features with zeros where the map, brought into [0, 1], reaches the threshold; no gradient through the map.

    >>> erased(torch.ones(1, 1, 1, 3), torch.tensor([[[0.0, 7.0, 10.0]]]), 0.7).flatten().tolist()
    [1.0, 0.0, 0.0]
    """
    seen = min_max(maps.detach()) < threshold
    return features * seen[:, None].to(features.dtype)


def fused(maps_a: Float[Tensor, "n h w"], maps_b: Float[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """The higher one, in each cell, of two maps that are each brought into [0, 1]."""
    return torch.maximum(min_max(maps_a), min_max(maps_b))
