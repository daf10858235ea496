"""ADL: attention-based dropout of features (Choe and Shim 2019), as wsolevaluation does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from advcam.classify.wsol.method import LocalizationMethod, plain_loss
from advcam.models.classifier import Classifier


class ADL(nn.Module, LocalizationMethod):
    """While it is trained, the outputs of some modules of the classifier are dropped or weighted; tests are plain.

    Args:
        classifier: what is trained; its modules get a hook, its parameters and their names stay.
        layers: names of the modules, as in ``classifier.backbone.named_modules()``.
        threshold: gamma, share of the attention's maximum from which on features are dropped.
        rate: chance that they are dropped rather than weighted, for each module and batch.
    """

    def __init__(
        self, classifier: Classifier, layers: Sequence[str], threshold: float = 0.9, rate: float = 0.75
    ) -> None:
        super().__init__()
        self.classifier, self.threshold, self.rate = classifier, threshold, rate
        for name in layers:
            classifier.backbone.get_submodule(name).register_forward_hook(self._after)

    def loss(self, images: Float[Tensor, "n 3 H W"], labels: Int[Tensor, " n"]) -> dict[str, Tensor]:
        return plain_loss(self.classifier, images, labels)

    def _after(self, module: nn.Module, inputs: Any, features: Tensor) -> Tensor:
        if not self.training:
            return features
        return attend(features, self.threshold, drop=float(torch.rand(())) < self.rate)


def attend(features: Float[Tensor, "n c h w"], threshold: float, drop: bool) -> Float[Tensor, "n c h w"]:
    """Features without their most attended cells, or weighted by the importance of each cell.

    The attention is the mean over the channels. ``drop`` keeps the cells where it is below ``threshold`` times its
    maximum in the image; otherwise each cell is multiplied by the sigmoid of its attention.

    >>> features = torch.tensor([[[[1.0, 4.0]], [[1.0, 6.0]]]])
    >>> attend(features, 0.9, drop=True).flatten().tolist()
    [1.0, 0.0, 1.0, 0.0]
    >>> attend(features, 0.9, drop=False)[0, 0, 0, 0].item() == torch.tensor(1.0).sigmoid().item()
    True
    """
    attention = features.mean(dim=1, keepdim=True)
    if drop:
        return features * (attention < threshold * attention.amax(dim=(2, 3), keepdim=True)).to(features.dtype)
    return features * attention.sigmoid()
