"""A classifier small enough to check a localization method by hand."""

from __future__ import annotations

import torch
from torch import nn

from advcam.models.backbone import Backbone
from advcam.models.classifier import Classifier
from advcam.models.tails import TailedFeatures, convolutions

MEAN = (0.5, 0.5, 0.5)


def tiny(tail: bool = False) -> Classifier:
    """A classifier of 3 classes on cells of 4 pixels; with ``tail`` its first head is ACoL's."""
    torch.manual_seed(1)
    trunk = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 12, 3, stride=2, padding=1))
    features = TailedFeatures(trunk, convolutions(12, width=10)) if tail else trunk
    name = "torchvision/tiny" + ("+acol" if tail else "")
    backbone = Backbone(name, features, "", None, MEAN, MEAN, (32, 32), 10 if tail else 12, 4)
    return Classifier(backbone, 3, bias=True)
