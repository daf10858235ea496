"""SPG: self-produced guidance (Zhang et al. 2018), as wsolevaluation does it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, conv2d, cross_entropy

from advcam.classify.wsol.method import LocalizationMethod
from advcam.models.classifier import Classifier
from advcam.models.mapper import of_class
from advcam.models.ranges import bilinear, min_max
from advcam.models.tails import initialise
from advcam.models.taps import outputs_of

# Fewer sure pixels than this, and the threshold falls to this share of the map's maximum.
FEW, SHARE = 30, 0.7
UNSURE = 255.0
# Width of the predictors, but for ResNet-50's first two.
WIDTH, RESNET_WIDTH = 512, 1024


class SPG(nn.Module, LocalizationMethod):
    """Three predictors of the object's pixels on the classifier; each learns from what another is sure of.

    Args:
        classifier: what is trained; tests are plain.
        layers: names of the two modules that the first two predictors read, shallow first.
        channels: of these two.
        thresholds: h1, l1, h2, l2, h3, l3.
    """

    def __init__(
        self,
        classifier: Classifier,
        layers: tuple[str, str],
        channels: tuple[int, int],
        thresholds: Sequence[float] = (0.7, 0.01, 0.5, 0.05, 0.7, 0.1),
    ) -> None:
        super().__init__()
        self.classifier, self.layers, self.thresholds = classifier, layers, tuple(thresholds)
        width = RESNET_WIDTH if classifier.architecture.startswith("wsol/resnet50") else WIDTH
        self.early, self.late = (nn.Sequential(nn.Conv2d(count, width, 3, padding=1), nn.ReLU()) for count in channels)
        self.shared = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 1, 1))
        last = classifier.head.in_features
        self.final = nn.Sequential(nn.Conv2d(last, WIDTH, 3, padding=1), nn.ReLU(), nn.Conv2d(WIDTH, 1, 1))
        for part in (self.early, self.late, self.shared, self.final):
            initialise(part, "xavier")

    def loss(self, images: Float[Tensor, "n 3 H W"], labels: Int[Tensor, " n"]) -> dict[str, Tensor]:
        early, late, features = outputs_of(self.classifier.backbone, self.layers, images)
        size = (images.shape[2], images.shape[3])
        early_N1HW = bilinear(self.shared(self.early(early)), size)
        late_N1HW = bilinear(self.shared(self.late(late)), size)
        final_N1HW = bilinear(self.final(features), size)
        head = self.classifier.head
        logits = head(features.mean(dim=(2, 3)))
        class_maps = of_class(conv2d(features, head.weight[:, :, None, None], head.bias), labels).detach()
        attention_N1HW = min_max(bilinear(class_maps[:, None], size)[:, 0])[:, None]
        fused_N1HW = (early_N1HW.detach().sigmoid() + late_N1HW.detach().sigmoid()) / 2
        h1, l1, h2, l2, h3, l3 = self.thresholds
        parts = {
            "class": cross_entropy(logits, labels),
            "late": guided(late_N1HW, sure(attention_N1HW, h1, l1)),
            "early": guided(early_N1HW, sure(late_N1HW.detach().sigmoid(), h2, l2)),
            "final": guided(final_N1HW, sure(fused_N1HW, h3, l3)),
        }
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}


def sure(maps: Float[Tensor, "n 1 H W"], high: float, low: float) -> Float[Tensor, "n 1 H W"]:
    """1 where a map is above ``high``, 0 where it is below ``low``, 255 where neither.

    An image with fewer than 30 pixels above ``high`` takes 0.7 times its own maximum in its place. Background is
    assigned last.

    >>> sure(torch.tensor([[[[0.0, 0.2, 0.5, 0.6]]]]), high=0.9, low=0.1).flatten().tolist()
    [0.0, 255.0, 1.0, 1.0]
    """
    above = maps > high
    few = above.sum(dim=(1, 2, 3), keepdim=True) < FEW
    above = torch.where(few, maps > SHARE * maps.amax(dim=(1, 2, 3), keepdim=True), above)
    found = torch.where(above, 1.0, torch.full_like(maps, UNSURE))
    return torch.where(maps < low, 0.0, found)


def guided(logits: Float[Tensor, "n 1 H W"], target: Float[Tensor, "n 1 H W"]) -> Float[Tensor, ""]:
    """Sigmoid cross-entropy, the mean over the pixels of all images whose target is sure; 0 where none is."""
    known = target < UNSURE
    losses = binary_cross_entropy_with_logits(logits, target.clamp(max=1.0), reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)
