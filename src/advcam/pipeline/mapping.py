"""Images of a run become localization maps: loading ahead of the engine, writing behind it. One process's share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, UInt8

from advcam.attribute.engine import MappedPairs, map_pictures
from advcam.attribute.methods import Attributor
from advcam.attribute.result import LocalizationMaps
from advcam.data.images import read_image
from advcam.data.record import Record
from advcam.data.transforms import resize_long_side, scale_image
from advcam.errors import DataError
from advcam.models.checkpoint import load_classifier
from advcam.models.mapper import ClassMapper
from advcam.models.precision import tensor_float
from advcam.pipeline.config import RunConfig
from advcam.pipeline.engine import Engine
from advcam.pipeline.group import joined, own_device, reported
from advcam.pipeline.planning import Behind, Size, Unit, ahead
from advcam.pipeline.run import Run
from advcam.pipeline.salient import held_regions, salient_region


@dataclass(frozen=True)
class Share:
    """What one process is to do."""

    units: tuple[Unit, ...]
    records: dict[str, Record]
    """Of the images in these units."""
    missing: frozenset[str]
    """Images whose maps are asked for and not there yet; the others of a unit only fill its batches."""
    batch_pixels: int
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class LoadedUnit:
    """Images of one size, ready for the engine: for every scale, the pictures at that scale."""

    size: Size
    ids: tuple[str, ...]
    records: list[Record]
    pictures: list[list[UInt8[np.ndarray, "_ _ 3"]]]
    regions: list[Bool[np.ndarray, "_ _"] | None]
    """For every image where its salient object is, if that is known."""
    problems: list[str]


@dataclass(frozen=True)
class Done:
    """What there is to say of a share that is done."""

    problems: list[str]
    """Images that were left out, with the reasons."""
    unheld: int
    """Images whose salient object is not known."""


@dataclass(frozen=True)
class Loader:
    """Decodes the images of a unit and scales them."""

    run: Run
    records: dict[str, Record]

    def __call__(self, unit: Unit) -> LoadedUnit:
        config = self.run.config
        records, images, problems = [], [], []
        for image_id in unit.ids:
            try:
                images.append(reduce(read_image(self.records[image_id].image), config.attribute.max_side))
                records.append(self.records[image_id])
            except DataError as error:
                problems.append(pass_over(error, config.skip_bad))
        pictures = [[scale_image(image, scale) for image in images] for scale in config.attribute.scales]
        climbed = config.attribute.method == "advcam" and config.saliency.source != "none"
        regions = [salient_region(self.run, record, unit.size) if climbed else None for record in records]
        return LoadedUnit(unit.size, unit.ids, records, pictures, regions, problems)


def pass_over(problem: DataError, skip_bad: bool) -> str:
    """What the manifest says of an image that is left out; where none may be, the problem itself is raised."""
    if not skip_bad:
        raise problem
    return str(problem)


def map_share(run: Run, mapper: ClassMapper, method: Attributor, share: Share, advance: Callable[[int], bool]) -> Done:
    """Map the units of a share and write their files.

    Args:
        advance: called with the number of images done after each unit; False stops the work.
    """
    config = run.config.attribute
    problems: list[str] = []
    unheld = 0
    with tensor_float(config.precision), Behind() as behind:
        for unit in ahead(share.units, Loader(run, share.records)):
            problems += unit.problems
            if unit.records:
                held = held_regions(unit.regions, unit.size)
                pairs = map_pictures(
                    mapper,
                    unit.pictures,
                    [record.classes for record in unit.records],
                    method,
                    scales=config.scales,
                    size=unit.size,
                    batch_pixels=share.batch_pixels,
                    saliency=None if held is None else held.to(mapper.device),
                )
                wanted = [record.id in share.missing for record in unit.records]
                unheld += sum(region is None and own for region, own in zip(unit.regions, wanted, strict=True))
                behind(partial(save_unit, run, unit, pairs, share.missing))
            if not advance(len(share.missing.intersection(unit.ids))):
                break
    return Done(problems, unheld)


def follow(config: RunConfig, rank: int, world: int) -> None:
    """Do another process's share of the stage; the leader hears how it went."""
    run = Run.open(config, leads=False)
    with joined(rank, world) as group:
        share: Share = group.share()

        def tell(count: int) -> bool:
            group.tell(count)
            return not group.given_up()

        def work() -> Done:
            classifier, _ = load_classifier(run.folder.classifier, share.class_names)
            engine = Engine.of(config, classifier, own_device(run.device, group))
            return map_share(run, engine.mapper, engine.method, share, tell)

        group.collect(reported(work))


def reduce(image: UInt8[np.ndarray, "H W 3"], max_side: int) -> UInt8[np.ndarray, "h w 3"]:
    """The image with its longer side at most ``max_side`` pixels."""
    return resize_long_side(image, max_side) if max(image.shape) > max_side else image


def has_maps(run: Run, record: Record) -> bool:
    return all(run.folder.has_maps(record, kind) for kind in ("maps", "cam"))


def save_unit(run: Run, unit: LoadedUnit, pairs: MappedPairs, missing: Iterable[str]) -> None:
    """Keep the maps of a unit's images that were asked for and not there yet."""
    softmax = run.config.classify.loss == "softmax"
    probabilities = pairs.logits.softmax(dim=1) if softmax else pairs.logits.sigmoid()
    arrays = [tensor.float().cpu().numpy() for tensor in (pairs.maps, pairs.cam, probabilities)]
    start = 0
    for record in unit.records:
        own = [array[start : start + len(record.classes)] for array in arrays]
        start += len(record.classes)
        if record.id in missing:
            save(run, record, unit.size, maps=own[0], cam=own[1], scores=own[2][range(len(own[2])), record.classes])


def save(
    run: Run,
    record: Record,
    size: Size,
    *,
    maps: Float[np.ndarray, "k h4 w4"],
    cam: Float[np.ndarray, "k h4 w4"],
    scores: Float[np.ndarray, " k"],
) -> None:
    """Write both files of an image; the method's last, so that where it is the other one is."""
    classes = np.asarray(record.classes, dtype=np.int64)
    for kind, values in (("cam", cam), ("maps", maps)):
        LocalizationMaps(classes, values.astype(np.float16), size, scores).save(run.folder.maps(record.id, kind))
