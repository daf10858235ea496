"""The climb three ways on the same network, images and classes: the authors' cost structure, advcam, and the floor."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from jaxtyping import Float
from torch import Tensor

from advcam.attribute.climb import climb_pairs
from advcam.attribute.maps.cam import CAM
from advcam.attribute.pixels import views
from advcam.attribute.settings import ClimbSettings, adapted
from advcam.bench.authors import authors_climb
from advcam.bench.timing import Seconds, apart, in_turns, peak_memory
from advcam.models.architectures import build_backbone
from advcam.models.classifier import Classifier
from advcam.models.fold import fold_batch_norm
from advcam.models.mapper import ClassMapper
from advcam.models.precision import in_precision, tensor_float

NUM_CLASSES = 20
# Of a climb with all its steps, section 5.1.
STEPS = 27


@dataclass(frozen=True)
class Contest:
    """What is compared, on random weights and images: neither changes the time of a pass."""

    architecture: str = "irn_resnet50"
    size: tuple[int, int] = (375, 500)
    """Height and width of the images."""
    pairs: int = 1
    """(image, class) pairs in one batch; the authors' program takes one after the other."""
    steps: int = 2
    """Steps that are timed; all steps cost the same."""
    device: str = "cpu"
    precision: str = "32"
    threads: int = 1

    @cached_property
    def classifier(self) -> Classifier:
        torch.manual_seed(0)
        stride = None if self.architecture == "irn_resnet50" else 16
        return Classifier(build_backbone(self.architecture, stride), NUM_CLASSES).eval().to(self.device)

    @cached_property
    def mapper(self) -> ClassMapper:
        """As the stage has it: batch norms folded, channels last, parameters frozen while climbing."""
        mapper = fold_batch_norm(copy.deepcopy(self.classifier).mapper())
        return in_precision(mapper, self.precision).to(memory_format=torch.channels_last)

    @property
    def images(self) -> Float[Tensor, "n 3 H W"]:
        generator = torch.Generator().manual_seed(1)
        return torch.randn(self.pairs, 3, *self.size, generator=generator).to(self.device)

    def climb(self, steps: int) -> object:
        """All pairs, ``steps`` maps each: as many forward passes and one backward pass less."""
        classes = torch.arange(self.pairs, device=self.device) % NUM_CLASSES
        settings = adapted(ClimbSettings(steps=steps), CAM(self.mapper).units)
        return climb_pairs(self.mapper, self.images, classes, settings).maps

    def authors(self) -> object:
        """One pair, ``steps`` steps. The stem of IRN's network is frozen in theirs; all else takes part in autograd."""
        stem = ("conv1.", "bn1.") if self.architecture == "irn_resnet50" else ()
        for name, parameter in self.classifier.backbone.named_parameters():
            parameter.requires_grad_(not name.startswith(stem))
        head = self.classifier.head.weight.requires_grad_()
        settings = ClimbSettings(steps=self.steps)
        return authors_climb(self.classifier.backbone, head, self.images[0].cpu(), 0, settings)

    def floor(self) -> object:
        """Bare passes of the batch, forward and back to the input, through the network that ``climb`` runs."""
        x_NV3HW = views(CAM(self.mapper).start(self.images), True)
        with self.mapper.frozen():
            for _ in range(self.steps):
                x_P3HW = x_NV3HW.flatten(0, 1).requires_grad_()
                maps = self.mapper.class_maps(x_P3HW)
                torch.autograd.grad(maps, x_P3HW, torch.ones_like(maps))
                x_NV3HW = x_NV3HW.detach()
        return x_NV3HW


@dataclass(frozen=True)
class Outcome:
    """Seconds per image, class and step, and memory beyond the network in bytes."""

    authors: Seconds
    climb: Seconds
    first: Seconds
    """Of the first forward pass of a climb, per image."""
    floor: Seconds
    memory: tuple[int | None, int | None]
    """At the highest: the authors' structure with one pair, the climb with its batch."""

    def whole(self, clock: str, steps: int = STEPS) -> float:
        """How many times as fast a whole climb is: the authors' structure takes one more backward pass than needed."""
        theirs, ours, first = (getattr(time, clock) for time in (self.authors, self.climb, self.first))
        return steps * theirs / (first + (steps - 1) * ours)


def hold(contest: Contest, turns: int, memory: bool = False) -> Outcome:
    """Time the three ways in turns, and measure the memory of each in a process of its own."""
    torch.set_num_threads(contest.threads)
    ways: dict[str, Callable[[], object]] = {
        "authors": contest.authors,
        "climb": partial(contest.climb, contest.steps + 1),
        "first": partial(contest.climb, 1),
        "floor": contest.floor,
    }
    with tensor_float(contest.precision):
        times = in_turns(ways, turns, torch.device(contest.device))
    per_step = contest.steps * contest.pairs
    return Outcome(
        authors=times["authors"] / contest.steps,
        climb=(times["climb"] - times["first"]) / per_step,
        first=times["first"] / contest.pairs,
        floor=times["floor"] / per_step,
        memory=(apart(memory_of, contest, "authors"), apart(memory_of, contest, "climb")) if memory else (None, None),
    )


def memory_of(contest: Contest, way: str) -> int | None:
    """What one of the ways takes at its highest, after a small call has loaded what stays."""
    torch.set_num_threads(contest.threads)
    small = replace(contest, size=(32, 32), pairs=1)
    for asked in (small, contest):
        run = asked.authors if way == "authors" else partial(asked.climb, asked.steps + 1)
        found = peak_memory(run, torch.device(contest.device))
    return found
