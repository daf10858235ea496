"""A classifier's scores for whole images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from advcam.classify.settings import ClassifySettings
from advcam.data.images import read_image
from advcam.data.record import ImageSet, Record
from advcam.data.transforms import normalize, resize_long_side
from advcam.models.classifier import Classifier
from advcam.training.items import in_batches


def whole_image(record: Record, mean: Sequence[float], std: Sequence[float], long_side: int) -> Float[Tensor, "C H W"]:
    """A whole image, its longer side at ``long_side``, as the network's input."""
    return torch.from_numpy(normalize(resize_long_side(read_image(record.image, len(mean)), long_side), mean, std))


def own_scores(
    classifier: Classifier, images: ImageSet, settings: ClassifySettings, rank: int = 0, world: int = 1
) -> Float[Tensor, "n K"]:
    """Scores of every ``world``-th image from ``rank`` on, zeros for the others: the sum over all processes is whole.

    Images of one size go through the network together; padding would move the pooled scores. Scores are logits, or
    logarithms of the softmax where the loss has one. The classifier is taken in the mode that it is in.

    Raises:
        DataError: an image cannot be read.
    """
    device = next(classifier.parameters()).device
    scores_NK = torch.zeros(len(images), classifier.num_classes, dtype=torch.float64)
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
                logits = classifier(torch.stack([image for _, image in group]).to(device))
            known = logits.log_softmax(1) if settings.loss == "softmax" else logits
            scores_NK[[place for place, _ in group]] = known.double().cpu()
    return scores_NK
