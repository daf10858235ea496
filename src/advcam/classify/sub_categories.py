"""SC-CAM (Chang et al. 2020): a second head learns sub-categories that k-means found in the features of each class.

Then the features have to tell apart what the classes alone would not, and maps of the first head cover more of an
object. Source: SC-CAM's program.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor, nn

from advcam.classify.loss import classification_loss
from advcam.models.classifier import Classifier

# Starts of k-means, the best of which counts, and steps of each.
STARTS, STEPS = 10, 300


class SubCategories(nn.Module):
    """A classifier, and a head of sub-categories on the same pooled features; only the training uses the latter.

    Args:
        classifier: the heads of both have no bias in SC-CAM's program.
        clusters: sub-categories of a class.
        weight: of their loss.

    >>> import torch
    >>> from advcam.models.architectures import build_backbone
    >>> network = SubCategories(Classifier(build_backbone("timm/test_resnet"), 5), clusters=3)
    >>> sorted(network.loss(torch.zeros(2, 3, 32, 48), torch.zeros(2, 5 + 15)))
    ['classes', 'loss', 'sub_categories']
    """

    map: ClassVar[str] = "sub_categories"

    def __init__(self, classifier: Classifier, clusters: int = 10, weight: float = 5.0) -> None:
        super().__init__()
        self.classifier, self.clusters, self.weight = classifier, clusters, weight
        self.sub_head = nn.Linear(classifier.head.in_features, clusters * classifier.num_classes, bias=False)
        nn.init.xavier_uniform_(self.sub_head.weight)

    @property
    def options(self) -> dict[str, int]:
        """What it is built with, beside the classifier."""
        return {"clusters": self.clusters}

    @staticmethod
    def own_names(tensors: dict[str, Tensor], num_classes: int) -> dict[str, Tensor]:
        """Tensors of SC-CAM's program under the names used here."""
        names = {"fc8_20.weight": "fc8.weight", "fc8_200.weight": "sub_head.weight"}
        found = {names.get(name, name): value for name, value in tensors.items()}
        return found | {name: value.flatten(1) for name, value in found.items() if name == "sub_head.weight"}

    def loss(self, images: Float[Tensor, "n 3 H W"], targets: Float[Tensor, "n T"]) -> dict[str, Tensor]:
        """Of targets for the classes and, behind them, for their sub-categories."""
        pooled = self.classifier.backbone(images).mean(dim=(2, 3))
        classes, subs = targets.split([self.classifier.num_classes, self.sub_head.out_features], dim=1)
        own = classification_loss(self.classifier.head(pooled), classes)
        sub = classification_loss(self.sub_head(pooled), subs)
        return {"loss": own + self.weight * sub, "classes": own, "sub_categories": sub}


def sub_categories(
    features: Float[np.ndarray, "n C"], classes: Sequence[Sequence[int]], clusters: int, seed: int = 0
) -> list[tuple[int, ...]]:
    """The sub-categories of each image, one for each of its classes: ``class * clusters + cluster``.

    The images of each class are clustered by themselves; one with several classes takes part in each.

    >>> features = np.array([[0.0], [0.1], [5.0], [5.1], [9.0]])
    >>> found = sub_categories(features, [(0,), (0,), (0,), (0,), (0, 1)], 2)
    >>> found[0] == found[1], found[0] != found[2], found[4][1] in (2, 3)
    (True, True, True)
    """
    found: list[list[int]] = [[] for _ in classes]
    for index in range(1 + max((c for own in classes for c in own), default=-1)):
        members = [place for place, own in enumerate(classes) if index in own]
        if members:
            labels = k_means(features[members], min(clusters, len(members)), np.random.default_rng((seed, index)))
            for place, label in zip(members, labels.tolist(), strict=True):
                found[place].append(index * clusters + label)
    return [tuple(own) for own in found]


def k_means(points: Float[np.ndarray, "n C"], clusters: int, generator: np.random.Generator) -> Int[np.ndarray, " n"]:
    """Lloyd's algorithm from the best of ten starts, each spread by k-means++ (the next centre by squared distance)."""
    best, least = np.zeros(len(points), np.int64), np.inf
    for _ in range(STARTS):
        centres = points[[int(generator.integers(len(points)))]]
        while len(centres) < clusters:
            near = _squared(points, centres).min(axis=1)
            chance = near / near.sum() if near.sum() > 0 else None
            centres = np.concatenate([centres, points[[int(generator.choice(len(points), p=chance))]]])
        labels = np.full(len(points), -1)
        for _ in range(STEPS):
            distances = _squared(points, centres)
            before, labels = labels, distances.argmin(axis=1)
            if (before == labels).all():
                break
            for label in range(clusters):
                if (labels == label).any():
                    centres[label] = points[labels == label].mean(axis=0)
        spread = float(distances.min(axis=1).sum())
        if spread < least:
            best, least = labels, spread
    return best


def _squared(points: Float[np.ndarray, "n C"], centres: Float[np.ndarray, "k C"]) -> Float[np.ndarray, "n k"]:
    norms = (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)[None]
    return np.maximum(norms - 2 * points @ centres.T, 0.0)
