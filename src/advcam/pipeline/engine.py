"""The network of a run in the form in which it maps, and what tells it from others."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from advcam.attribute.maps.cam import CAM
from advcam.attribute.memory import batch_pixels, free_memory
from advcam.attribute.methods import Attributor, attributor
from advcam.attribute.settings import ClimbSettings, adapted
from advcam.models.classifier import Classifier
from advcam.models.fold import fold_batch_norm
from advcam.models.mapper import ClassMapper
from advcam.models.precision import in_precision
from advcam.pipeline.config import RunConfig


@dataclass(frozen=True)
class Engine:
    """The network in the form in which it maps, and the method."""

    mapper: ClassMapper
    method: Attributor
    climb: ClimbSettings

    @classmethod
    def of(cls, config: RunConfig, classifier: Classifier, device: torch.device) -> Engine:
        classifier = classifier.to(device).to(memory_format=torch.channels_last)
        mapper = in_precision(fold_batch_norm(classifier.mapper()), config.attribute.precision)
        climb = config.climb
        if config.attribute.adapt:
            climb = adapted(climb, CAM(mapper, signed=climb.signed).units)
        return cls(mapper, attributor(config.attribute, climb), climb)

    def moved_to(self, device: torch.device) -> Engine:
        return Engine(self.mapper.to(device), self.method, self.climb)

    def settings(self, config: RunConfig, classifier: Classifier) -> dict[str, Any]:
        """What the maps depend on."""
        climb = asdict(self.climb) if config.attribute.method == "advcam" else None
        return {**asdict(config.attribute), "climb": climb, "classifier": fingerprint(classifier)}

    def batch_pixels(self, processes: int) -> int:
        """Pixels in one batch, such that every process has room for it."""
        free = free_memory(self.mapper.device)
        shared = self.mapper.device.type == "cpu" and free is not None
        return batch_pixels(self.mapper, free // processes if shared and free is not None else free)


def fingerprint(classifier: Classifier) -> str:
    """What tells one trained classifier from another: a hash over its weights and its input statistics."""
    return digest(classifier, (classifier.architecture, classifier.mean, classifier.std))


def digest(network: nn.Module, facts: tuple) -> str:
    """A hash over the weights of a network and what else it depends on."""
    found = hashlib.sha256(repr(facts).encode())
    for name, tensor in sorted(network.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
