"""The climbs that the figures are made of: the map and the scores of every image at every step, kept on disk.

Shape suffixes: N pairs of (image, class), k classes of one image, T steps, K classes of the data set, h w cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from advcam.analyse.kept import Store, named
from advcam.analyse.subject import Subject, no_progress
from advcam.attribute.climb import ClimbStep, climb
from advcam.attribute.grid import FULL_STRIDE, high_res
from advcam.attribute.inputs import to_inputs
from advcam.attribute.multiscale import at_scale
from advcam.attribute.seen import Climbable
from advcam.attribute.settings import ClimbSettings
from advcam.data import Record, image_size
from advcam.data.transforms import scale_image
from advcam.models import ClassMapper


@dataclass(frozen=True)
class Steps:
    """One image's climb at one scale."""

    maps: Float[Tensor, "k T h w"]
    """The map of each of its classes at every step, views added; the first is the unchanged image's."""
    scores: Float[Tensor, "k T K"]
    """The scores of all classes at every step, mean of the views."""
    stride: int = FULL_STRIDE
    """Pixels of the scaled image per cell."""

    @property
    def sums(self) -> Float[Tensor, "k T h w"]:
        """The sum of the maps up to every step: the localization map, not yet divided by its maximum (eq. 4)."""
        return self.maps.double().cumsum(1).to(self.maps)


def climb_steps(
    mapper: ClassMapper | Climbable,
    images: Float[Tensor, "n 3 H W"],
    classes: Sequence[int],
    settings: ClimbSettings,
    saliency: Float[Tensor, "n H W"] | None = None,
) -> tuple[Float[Tensor, "n T h w"], Float[Tensor, "n T K"]]:
    """Maps and scores of every pair of image and class at every step of its climb, on the CPU.

    >>> import torch, advcam
    >>> mapper = advcam.ClassMapper(torch.nn.Conv2d(3, 8, 3, stride=4, padding=1), torch.randn(5, 8))
    >>> maps, scores = climb_steps(mapper, torch.randn(2, 3, 32, 48), [0, 3], advcam.ClimbSettings(steps=4))
    >>> maps.shape, scores.shape
    (torch.Size([2, 4, 8, 12]), torch.Size([2, 4, 5]))
    """
    maps: list[Tensor] = []
    scores: list[Tensor] = []

    def keep(step: ClimbStep) -> None:
        maps.append(step.maps.cpu())
        scores.append(step.scores.mean(dim=1).cpu())

    target = torch.tensor(list(classes), dtype=torch.long, device=images.device)
    climb(mapper, images, target, settings, saliency=saliency, on_step=keep)
    return torch.stack(maps, dim=1), torch.stack(scores, dim=1)


def all_steps(subject: Subject, what: str = "climbs") -> Iterator[tuple[Record, tuple[Steps, ...]]]:
    """The climbs of all images of a subject, one ``Steps`` for each of its scales.

    Images of one size climb together. With ``subject.cache`` each image's climb is kept, and read the next time that
    it is asked for with the same settings, weights and picture.
    """
    climbs = [Climbs(subject, scale) for scale in subject.scales]
    missing = [record for record in subject.records if any(not own.store.has(record) for own in climbs)]
    for batch in subject.progress(list(batches(subject, missing)), what):
        for own in climbs:
            own.make(batch)
    for record in subject.records:
        yield record, tuple(own.read(record) for own in climbs)


def batches(subject: Subject, records: Sequence[Record]) -> Iterator[list[Record]]:
    """Images of one size that climb together, as many as ``batch_pixels`` has room for at the largest scale."""
    by_size: dict[tuple[int, int], list[Record]] = {}
    for record in records:
        by_size.setdefault(subject.size_of(record), []).append(record)
    for (height, width), alike in by_size.items():
        room = subject.batch_pixels / (height * width * max(subject.scales) ** 2 * (1 + subject.climb.flip))
        batch: list[Record] = []
        pairs = 0
        for record in alike:
            if batch and pairs + len(record.classes) > room:
                yield batch
                batch, pairs = [], 0
            batch.append(record)
            pairs += len(record.classes)
        yield batch


class Climbs:
    """The climbs of single images at one scale."""

    def __init__(self, subject: Subject, scale: float) -> None:
        self.subject, self.scale = subject, scale
        self.settings = at_scale(subject.climb, scale)
        own = (scale, subject.max_side, subject.square, subject.digest, subject.map, subject.saliency is not None)
        self.store = Store.of(subject, "climb", named(self.settings), *own)

    def read(self, record: Record) -> Steps:
        arrays = self.store.read(record)
        maps = torch.from_numpy(arrays["maps"].astype(np.float32) * arrays["largest"][:, None, None, None])
        return Steps(maps, torch.from_numpy(arrays["scores"]), self.subject.climbable.units.stride)

    def make(self, records: Sequence[Record]) -> None:
        """Climb images of one size and keep what comes of it."""
        subject = self.subject
        pictures = [scale_image(subject.picture(record), self.scale) for record in records]
        own = [index for index, record in enumerate(records) for _ in record.classes]
        classes = [c for record in records for c in record.classes]
        held = self._saliency(records, own, pictures[0].shape[:2])
        images = to_inputs(pictures, subject.mapper)[own]
        maps, scores = climb_steps(subject.climbable, images, classes, self.settings, held)
        relative, largest = maps.float().numpy(), np.ones(len(maps), np.float32)
        if self.store.folder is not None:
            # Half precision has three digits; the largest value of each climb is beside it.
            largest = np.abs(relative).max(axis=(1, 2, 3)).clip(min=np.finfo(np.float32).tiny)
            relative = (relative / largest[:, None, None, None]).astype(np.float16)
        ends = np.cumsum([len(record.classes) for record in records])[:-1]
        parts = zip(*(np.split(one, ends) for one in (relative, largest, scores.float().numpy())), strict=True)
        for record, arrays in zip(records, parts, strict=True):
            self.store.write(record, dict(zip(("maps", "largest", "scores"), arrays, strict=True)))

    def _saliency(
        self, records: Sequence[Record], own: list[int], size: tuple[int, int]
    ) -> Float[Tensor, "n H W"] | None:
        if self.subject.saliency is None:
            return None
        maps = [self.subject.saliency(record)[None, None].float() for record in records]
        # Averaged, as the climb averages them over its cells.
        resized = torch.cat([interpolate(one, size, mode="area") for one in maps])[:, 0]
        return resized[own].to(self.subject.mapper.device)


def fused(
    scales: Sequence[Steps], size: tuple[int, int], steps: Sequence[int], *, last: bool = False
) -> Float[Tensor, "s k H W"]:
    """Localization maps of the image's size after each of some steps: scales added, divided by the maximum (eq. 4).

    Args:
        scales: one climb per scale; one that is shorter stays at its end.
        size: of the image.
        steps: which ones, from 0.
        last: the map of that step alone in place of the sum up to it (Table 11).
    """
    kept = [climbed.maps if last else climbed.sums for climbed in scales]
    fused_steps = []
    for step in steps:
        raw = [maps[:, min(step, maps.shape[1] - 1)] for maps in kept]
        fused_steps.append(high_res(raw, size, scales[0].stride))
    return torch.stack(fused_steps)


def object_shares(mask: UInt8[np.ndarray, "H W"], class_index: int, grid: tuple[int, int]) -> Float[Tensor, "h w"]:
    """The part of every cell that is the class's object, of its pixels that count; NaN where none does."""
    counted = torch.from_numpy((mask != 255).astype(np.float32))[None, None]
    inside = torch.from_numpy((mask == class_index + 1).astype(np.float32))[None, None]
    parts = [interpolate(part, grid, mode="area")[0, 0] for part in (inside, counted)]
    return torch.where(parts[1] > 0, parts[0] / parts[1].clamp(min=1e-6), torch.nan)


def maps_of(subject: Subject, record: Record, steps: Sequence[int]) -> Float[Tensor, "s k H W"]:
    """The localization maps of one image of a subject after some of its steps; see ``fused``."""
    alone = replace(subject, records=(record,), progress=no_progress)
    ((_, scales),) = all_steps(alone)
    return fused(scales, image_size(record.image), steps)
