"""A classifier's scores and features of whole images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from advcam.classify.settings import ClassifySettings
from advcam.classify.targets import targets_of
from advcam.data.images import read_image
from advcam.data.record import ImageSet, Record
from advcam.data.transforms import normalize, resize_long_side
from advcam.models.classifier import Classifier
from advcam.models.weights import finite
from advcam.training.items import in_batches


def whole_image(record: Record, mean: Sequence[float], std: Sequence[float], long_side: int) -> Float[Tensor, "C H W"]:
    """A whole image, its longer side at ``long_side``, as the network's input."""
    return torch.from_numpy(normalize(resize_long_side(read_image(record.image, len(mean)), long_side), mean, std))


def own_scores(
    classifier: Classifier, images: ImageSet, settings: ClassifySettings, rank: int = 0, world: int = 1
) -> Float[Tensor, "n K"]:
    """Scores of every ``world``-th image from ``rank`` on, zeros for the others: the sum over all processes is whole.

    Scores are logits, or logarithms of the softmax where the loss has one. The classifier is taken in the mode that it
    is in.
    """
    scores_NK = torch.zeros(len(images), classifier.num_classes, dtype=torch.float64)
    for places, group in by_size(classifier, images, settings, rank, world):
        logits = finite(classifier(group), "the classifier's scores")
        known = logits.log_softmax(1) if settings.loss == "softmax" else logits
        scores_NK[places] = known.double().cpu()
    return scores_NK


def precisions(scores: Float[Tensor, "n K"], images: ImageSet) -> Float[Tensor, " K"]:
    """Average precision of each class over labelled images; NaN for a class that no image has."""
    return average_precision(
        scores, torch.stack([targets_of(r.classes, len(images.class_names)) for r in images.records])
    )


def pooled_features(classifier: Classifier, images: ImageSet, settings: ClassifySettings) -> Float[Tensor, "n C"]:
    """The mean of the last feature map of each whole image."""
    features_NC = torch.zeros(len(images), classifier.head.in_features, dtype=torch.float64)
    for places, group in by_size(classifier, images, settings):
        features_NC[places] = classifier.backbone(group).mean(dim=(2, 3)).double().cpu()
    return features_NC


def by_size(
    classifier: Classifier, images: ImageSet, settings: ClassifySettings, rank: int = 0, world: int = 1
) -> Iterator[tuple[list[int], Float[Tensor, "m 3 H W"]]]:
    """Whole images on the classifier's device, with their places in the set; without gradients while one is used.

    Images of one size go together; padding would move what is pooled.
    """
    device = next(classifier.parameters()).device
    read = partial(whole_image, mean=classifier.mean, std=classifier.std, long_side=settings.val_long_side)
    places = range(rank, len(images), world)
    seen = iter(places)
    records = [images.records[place] for place in places]
    for batch in in_batches(records, read, settings.batch_size, settings.workers, world):
        sizes: dict[torch.Size, list[tuple[int, Tensor]]] = {}
        for image in batch:
            sizes.setdefault(image.shape, []).append((next(seen), image))
        for group in sizes.values():
            # Scores of 16 bits would have many ties.
            with torch.no_grad(), torch.autocast(device.type, enabled=False):
                yield [place for place, _ in group], torch.stack([image for _, image in group]).to(device)


def average_precision(scores: Float[Tensor, "n K"], targets: Float[Tensor, "n K"]) -> Float[Tensor, " K"]:
    """Average precision of each class over ``n`` images, in [0, 1]; NaN for a class that no image has.

    The mean over the positive images of the precision at their score, where precision counts every image that
    scores at least as much; images of equal score stand at the same place, so that the order of the images cannot
    matter. It is the area under the precision-recall curve without interpolation.

    >>> average_precision(torch.tensor([[0.9], [0.8], [0.7], [0.1]]), torch.tensor([[1.0], [0.0], [1.0], [0.0]]))
    tensor([0.8333])
    """
    columns = []
    for score, target in zip(scores.T, targets.T, strict=True):
        ordered, places = score.sort(descending=True, stable=True)
        hits = target[places].double().cumsum(0)
        # Of a run of equal scores, the last one knows how many images score at least as much.
        last = torch.searchsorted(-ordered, -ordered, right=True) - 1
        precision = hits[last] / (last + 1)
        columns.append((precision * target[places]).sum() / hits[-1:].sum())
    return torch.stack(columns).to(scores.dtype)
