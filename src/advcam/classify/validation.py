"""A classifier's scores for whole images."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from advcam.classify.settings import ClassifySettings
from advcam.data.images import read_image
from advcam.data.record import ImageSet
from advcam.data.transforms import normalize, resize_long_side
from advcam.errors import UserError
from advcam.models.classifier import Classifier
from advcam.training.worker import leave_interrupts, reading_processes

Numbered = tuple[int, Tensor]


class WholeImages(Dataset[Numbered | UserError]):
    """Whole images at ``settings.val_long_side`` with their places, every ``world``-th one from ``rank``."""

    def __init__(
        self, images: ImageSet, classifier: Classifier, settings: ClassifySettings, rank: int = 0, world: int = 1
    ) -> None:
        self.records, self.places = images.records, range(rank, len(images), world)
        self.mean, self.std, self.settings = classifier.mean, classifier.std, settings

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Numbered | UserError:
        place = self.places[index]
        try:
            image = resize_long_side(read_image(self.records[place].image), self.settings.val_long_side)
        except UserError as error:
            return error
        return place, torch.from_numpy(normalize(image, self.mean, self.std))


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
    loader = DataLoader(
        WholeImages(images, classifier, settings, rank, world),
        batch_size=settings.batch_size,
        collate_fn=list,
        num_workers=reading_processes(settings.workers, world),
        worker_init_fn=leave_interrupts,
    )
    for items in loader:
        sizes: dict[torch.Size, list[Numbered]] = {}
        for item in items:
            if isinstance(item, UserError):
                raise item
            sizes.setdefault(item[1].shape, []).append(item)
        for group in sizes.values():
            # Scores of 16 bits would have many ties.
            with torch.no_grad(), torch.autocast(device.type, enabled=False):
                logits = classifier(torch.stack([image for _, image in group]).to(device))
            known = logits.log_softmax(1) if settings.loss == "softmax" else logits
            scores_NK[[place for place, _ in group]] = known.double().cpu()
    return scores_NK
