"""What is analysed: a classifier, a sample of labelled images, and the climb's settings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from advcam.attribute.climb import as_climbable
from advcam.attribute.inputs import PictureMap, to_input
from advcam.attribute.maps.table import Trained, map_of
from advcam.attribute.settings import AttributeSettings, ClimbSettings, adapted
from advcam.classify.wsol.task import square
from advcam.data import ImageSet, Record, image_size, open_dataset, read_image
from advcam.data.transforms import resize_long_side, scale_image, scaled_size
from advcam.errors import DataError
from advcam.evaluate.validation import true_corners
from advcam.models import ClassMapper, load_classifier
from advcam.models.fold import fold_batch_norm

Progress = Callable[[Sequence[Any], str], Iterable[Any]]


def no_progress(items: Sequence[Any], what: str) -> Iterable[Any]:
    """Goes through the items and says nothing."""
    return items


@dataclass(frozen=True)
class Subject:
    """A classifier, the images it is looked at on, and how they are climbed."""

    mapper: ClassMapper
    class_names: tuple[str, ...]
    records: tuple[Record, ...]
    """The sample. Images without a class are left out of it."""
    climb: ClimbSettings
    """In the network's own units (``advcam.adapted``)."""
    map: str = "cam"
    """Which map is climbed, one of ``advcam.maps`` by the name that a run gives it."""
    scales: tuple[float, ...] = (1.0,)
    max_side: int = AttributeSettings.max_side
    """Images with a longer side, in pixels, are reduced to it before they are scaled."""
    square: int | None = None
    """Bring every image to a square of so many pixels instead, as localization does."""
    saliency: Callable[[Record], Float[Tensor, "H W"]] | None = None
    """The salient-object map of an image at its own size, in [0, 1]."""
    cache: Path | None = None
    """Where the climbs of single images are kept, so that an interrupted analysis goes on; None keeps nothing."""
    batch_pixels: int = 2**19
    """Pixels that climb together, mirror images counted."""
    progress: Progress = no_progress
    facts: dict[str, Any] = field(default_factory=dict)
    """Split, sample and settings in words, for the results."""
    digest: str = ""
    """Of the network's weights; computed unless given."""

    def __post_init__(self) -> None:
        if not self.records:
            raise DataError("an analysis needs at least one image with a class: give another split, or more images")
        if not self.digest:
            object.__setattr__(self, "digest", weights_digest(self.mapper))

    @property
    def has_masks(self) -> bool:
        return all(record.mask is not None for record in self.records)

    def with_climb(self, **changes: Any) -> Subject:
        """The same images under other settings of the climb."""
        return replace(self, climb=replace(self.climb, **changes))

    def with_map(self, name: str) -> Subject:
        """The same images, climbed for another map of the network, with the climb in its units."""
        if name == self.map:
            return self
        other = replace(self, map=name)
        return replace(other, climb=adapted(self.climb, other.climbable.units))

    @cached_property
    def climbable(self) -> PictureMap:
        """The map that is climbed."""
        return map_of(self.map, Trained(None, self.mapper, signed=self.climb.signed))

    def picture(self, record: Record) -> UInt8[np.ndarray, "H W 3"]:
        """An image, reduced to ``max_side`` or brought to a square."""
        image = read_image(record.image)
        if self.square is not None:
            return np.ascontiguousarray(square(image, self.square))
        return resize_long_side(image, self.max_side) if max(image.shape[:2]) > self.max_side else image

    def input_of(self, record: Record) -> Float[Tensor, "1 3 H W"]:
        """``picture`` in the network's input space, at the first of the scales."""
        return to_input(scale_image(self.picture(record), self.scales[0]), self.mapper)[None]

    def size_of(self, record: Record) -> tuple[int, int]:
        """Height and width of ``picture``, from the file's header."""
        if self.square is not None:
            return self.square, self.square
        size = image_size(record.image)
        return size if max(size) <= self.max_side else scaled_size(size, self.max_side / max(size))

    def described(self) -> dict[str, Any]:
        """On what it is measured: for the results."""
        return self.facts | {
            "map": self.map,
            "scales": self.scales,
            "max_side": self.max_side,
            "climb": asdict(self.climb),
        }

    def need_masks(self, name: str) -> None:
        """Raise DataError where an image has no ground truth."""
        if missing := [record.id for record in self.records if record.mask is None]:
            raise DataError(
                f"{name} compares maps with ground truth, and {len(missing)} images have none ({missing[0]}): "
                "name a split with masks"
            )

    def with_boxes(self, name: str) -> Subject:
        """The same with the images of one class and boxes of it; DataError where there is none."""
        found = boxed(self.records)
        if not found:
            raise DataError(
                f"{name} compares boxes, and no image has one class and a box of it: name a split with boxes"
            )
        return replace(self, records=found)


def open_subject(
    data: str | Path | ImageSet,
    classifier: str | Path,
    *,
    split: str | None = None,
    images: int | None = 20,
    climb: ClimbSettings | None = None,
    adapt: bool = True,
    scales: Sequence[float] = (1.0,),
    max_side: int = AttributeSettings.max_side,
    device: str = "cpu",
    **others: Any,
) -> Subject:
    """A subject from a data set and a classifier's folder.

    Args:
        data: what ``open_dataset`` reads, or what it gives.
        classifier: a folder that ``load_classifier`` reads.
        split: of the data set.
        images: how many, spread evenly over the split; None takes all of them.
        climb: ``ClimbSettings.released()`` unless told.
        adapt: whether ``climb`` is in the authors' units and has to be brought to this network's.
        scales, max_side: see ``AttributeSettings``.
        device: where it runs.
        others: fields of ``Subject``.
    """
    image_set = data if isinstance(data, ImageSet) else open_dataset(data, split)
    network, _ = load_classifier(classifier, image_set.class_names)
    network = network.eval().to(device).to(memory_format=torch.channels_last)
    mapper = fold_batch_norm(network.mapper())
    settings = climb or ClimbSettings.released()
    if adapt:
        settings = adapted(settings, as_climbable(mapper, settings).units)
    records = sample(image_set, images)
    facts = {"split": image_set.split or "all", "images": len(records), "of": len(image_set), "adapted": adapt}
    return Subject(
        mapper, image_set.class_names, records, settings, scales=tuple(scales), max_side=max_side, facts=facts, **others
    )


def sample(image_set: ImageSet, count: int | None) -> tuple[Record, ...]:
    """So many images with a class, spread evenly over the set; all of them for None."""
    known = [record for record in image_set.records if record.classes]
    if count is None or count >= len(known):
        return tuple(known)
    return tuple(known[index * len(known) // count] for index in range(count))


def boxed(records: Iterable[Record]) -> tuple[Record, ...]:
    """The images of one class with boxes of it."""
    return tuple(record for record in records if len(record.classes) == 1 and true_corners(record))


def weights_digest(mapper: ClassMapper) -> str:
    """A hash over the network's tensors and its input's statistics."""
    found = hashlib.sha256(repr((mapper.mean, mapper.std)).encode())
    for name, tensor in sorted(mapper.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
