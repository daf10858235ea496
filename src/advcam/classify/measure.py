"""How well a classifier that is already trained knows the classes of labelled images."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from advcam.classify.quality import ClassifierJudgement, judge_classifier
from advcam.classify.settings import ClassifySettings
from advcam.classify.targets import prevalence
from advcam.classify.validation import own_scores, precisions
from advcam.data.record import ImageSet
from advcam.models.classifier import Classifier


@dataclass(frozen=True)
class Measured:
    """Average precisions in [0, 1]; NaN for a class that no image has."""

    val_map: float
    per_class_ap: dict[str, float]
    prevalence: dict[str, float]
    judgement: ClassifierJudgement


def measure_classifier(
    classifier: Classifier,
    images: ImageSet,
    settings: ClassifySettings | None = None,
    device: str | torch.device = "cpu",
) -> Measured:
    """Mean average precision over whole images at ``settings.val_long_side``, and what to think of it."""
    settings = settings or ClassifySettings()
    classifier = classifier.to(device).eval()
    values = precisions(own_scores(classifier, images, settings).float(), images)
    shares = prevalence(images)
    per_class = dict(zip(images.class_names, values.tolist(), strict=True))
    val_map = float(values.nanmean())
    return Measured(val_map, per_class, shares, judge_classifier(val_map, per_class, shares))
