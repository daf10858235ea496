"""SEAM (Wang et al. 2020): class maps that agree over sizes, refined by how alike pixels are (its PCM branch).

Layers carry the names of SEAM's program, so that what was published for its ResNet-38 loads as it is. Its head has a
background channel before the classes; neither its losses nor its maps ever look at it, so there is none here.

Shape suffixes: N images, K classes, B the background and the classes, H W pixels, h w cells.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d

from advcam.classify.loss import classification_loss
from advcam.models.classifier import Classifier
from advcam.models.ranges import bilinear
from advcam.models.taps import deep_taps

EPS = 1e-5
# Size of the second view, as a part of the first; the part of cells that the consistency and the least part of pixels
# that the background is judged by.
SECOND, HARDEST, LOWEST = 0.3, 0.2, 0.25
WIDTHS = (64, 128)


class SEAM(nn.Module):
    """A classifier, and the branch that refines its maps.

    Args:
        classifier: its head has no bias, or one that takes no part in the maps. Of ResNet-38 the branch reads the maps
            that SEAM's program reads, of other networks the two before the last that ``models.tapped`` finds.
    """

    map: ClassVar[str] = "seam"

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        # Not a part of its own: its parameters are the classifier's.
        self._taps = (deep_taps(classifier.as_backbone()),)
        shallow, middle, _ = self._taps[0].channels[-3:]
        self.f8_3 = nn.Conv2d(shallow, WIDTHS[0], 1, bias=False)
        self.f8_4 = nn.Conv2d(middle, WIDTHS[1], 1, bias=False)
        self.f9 = nn.Conv2d(sum(WIDTHS) + len(classifier.mean), sum(WIDTHS), 1, bias=False)
        nn.init.kaiming_normal_(self.f8_3.weight)
        nn.init.kaiming_normal_(self.f8_4.weight)
        nn.init.xavier_uniform_(self.f9.weight, gain=4)

    @staticmethod
    def own_names(tensors: dict[str, Tensor], num_classes: int) -> dict[str, Tensor]:
        """Tensors of SEAM's program under the names used here: without the background of its head."""
        head = tensors.get("fc8.weight")
        cut = {"fc8.weight": head[1:]} if head is not None and len(head) == num_classes + 1 else {}
        return tensors | cut

    def both_maps(self, images: Float[Tensor, "n 3 H W"]) -> tuple[Float[Tensor, "n K h w"], Float[Tensor, "n B h w"]]:
        """Signed class maps, and refined ones, background first; no gradient passes from the latter to the maps."""
        shallow, middle, last = self._taps[0](images)[-3:]
        dropout = getattr(self.classifier.backbone, "dropout7", nn.Identity())
        maps = conv2d(dropout(last), self.classifier.head.weight[:, :, None, None])
        size = (maps.shape[2], maps.shape[3])
        parts = (images, self.f8_3(shallow.detach()).relu(), self.f8_4(middle.detach()).relu())
        seen = [bilinear(x, size, align_corners=True) for x in parts]
        return maps, refined(one_per_cell(maps.detach()), self.f9(torch.cat(seen, dim=1)))

    def loss(self, images: Float[Tensor, "n 3 H W"], targets: Float[Tensor, "n K"]) -> dict[str, Tensor]:
        """Classes and background of both views, and that maps of the second equal those of the first (eq. 4 to 7)."""
        size = tuple(max(1, int(SECOND * side)) for side in images.shape[2:])
        small = bilinear(images, size, True)
        present_NB = torch.cat([torch.ones_like(targets[:, :1]), targets], dim=1)[:, :, None, None]
        parts, scaled = [], []
        for view in (images, small):
            maps, after = (bilinear(m, view.shape[2:], True) for m in self.both_maps(view))
            parts += [classification_loss(maps.mean(dim=(2, 3)), targets), lowest((after * present_NB)[:, 1:])]
            own = (
                bilinear(max_norm(maps), size, True) * present_NB[:, 1:],
                bilinear(max_norm(after), size, True) * present_NB,
            )
            scaled.append(own)
        (first, first_after), (second, second_after) = scaled
        classes, background = (parts[0] + parts[2]) / 2, (parts[1] + parts[3]) / 2
        equivariance = (first - second).abs().mean()
        cross = hardest(only_highest(second) - first_after) + hardest(only_highest(first) - second_after)
        return {
            "loss": classes + background + equivariance + cross,
            "classes": classes,
            "background": background,
            "equivariance": equivariance,
            "cross": cross,
        }


def one_per_cell(maps: Float[Tensor, "n K h w"]) -> Float[Tensor, "n B h w"]:
    """Positive maps, each divided by its maximum; the background is what the highest class leaves, and of the classes
    the highest alone is kept in each cell.

    >>> one_per_cell(torch.tensor([[[[2.0, 1.0]], [[0.0, 3.0]]]])).round(decimals=2)[0, :, 0].tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    """
    positive = maps.relu()
    return only_highest((positive - EPS).relu() / (positive.amax(dim=(2, 3), keepdim=True) + EPS))


def only_highest(maps: Float[Tensor, "n K h w"]) -> Float[Tensor, "n B h w"]:
    """In each cell the highest class alone, behind the background that it leaves; no gradient passes."""
    maps = maps.detach()
    highest = maps.amax(dim=1, keepdim=True)
    return torch.cat([1 - highest, torch.where(maps < highest, 0.0, maps)], dim=1)


def refined(maps: Float[Tensor, "n B h w"], features: Float[Tensor, "n C h w"]) -> Float[Tensor, "n B h w"]:
    """Every cell's value as the mean over the cells that are like it: the positive cosine of their features."""
    f = features.flatten(2)
    f = f / (f.norm(dim=1, keepdim=True) + EPS)
    affinity = (f.transpose(1, 2) @ f).relu()
    affinity = affinity / (affinity.sum(dim=1, keepdim=True) + EPS)
    return (maps.flatten(2) @ affinity).unflatten(2, maps.shape[2:])


def max_norm(maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Positive maps between their own extremes, in [0, 1]."""
    positive = maps.relu()
    low, high = positive.amin(dim=(2, 3), keepdim=True), positive.amax(dim=(2, 3), keepdim=True)
    return (positive - low - EPS).relu() / (high - low + EPS)


def lowest(maps: Float[Tensor, "n K H W"]) -> Float[Tensor, ""]:
    """Mean of the least quarter of the pixels of the highest class: something is background."""
    highest = maps.amax(dim=1).flatten(1)
    return highest.topk(max(1, int(LOWEST * highest.shape[1])), largest=False).values.relu().mean()


def hardest(difference: Float[Tensor, "n B h w"]) -> Float[Tensor, ""]:
    """Mean of the largest fifth of the differences of each image."""
    flat = difference.abs().flatten(1)
    return flat.topk(max(1, int(HARDEST * flat.shape[1]))).values.mean()
