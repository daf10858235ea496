"""The stage that turns images into localization maps."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import nn

from advcam.attribute.engine import MappedPairs, map_pictures
from advcam.attribute.methods import attributor
from advcam.attribute.multiscale import stored_size
from advcam.attribute.result import LocalizationMaps
from advcam.data.images import image_size, read_image
from advcam.data.record import Record
from advcam.data.transforms import resize_long_side, scale_image
from advcam.errors import DataError
from advcam.models.classifier import Classifier
from advcam.models.fold import fold_batch_norm
from advcam.models.split import skipping
from advcam.pipeline.classify import run_classifier
from advcam.pipeline.flags import write_flags
from advcam.pipeline.planning import Size, Unit, ahead, plan
from advcam.pipeline.progress import progress, say
from advcam.pipeline.run import Run
from advcam.pipeline.salient import held_regions, saliency_facts, salient_region

CPU_BATCH_PIXELS, GPU_BATCH_PIXELS = 2**20, 2**25
OUTPUTS = ("maps", "cam", "flagged.csv", "metrics.json")


def attribute(run: Run) -> None:
    """Write ``maps`` of every wanted image and, from the same passes, its plain class activation maps, ``cam``."""
    if run.config.wsol.method != "none":
        from advcam.pipeline.wsol_maps import attribute_for_localization

        attribute_for_localization(run)
        return
    config = run.config.attribute
    classifier = run_classifier(run).to(run.device).to(memory_format=torch.channels_last)
    skip = run.config.climb.skip if config.method == "advcam" else 0.0
    mapper = fold_batch_norm(skipping(classifier.mapper(), skip))
    climb = run.config.climb.adapted_to(mapper, classifier.output_stride) if config.adapt else run.config.climb
    method = attributor(config, climb)
    batch_pixels = config.batch_pixels or (CPU_BATCH_PIXELS if run.device.type == "cpu" else GPU_BATCH_PIXELS)
    settings = {
        **asdict(config),
        "climb": asdict(climb) if config.method == "advcam" else None,
        "classifier": fingerprint(classifier),
        # A plain class activation map is what it is: there is no growth that saliency could hold.
        "saliency": saliency_facts(run) if config.method == "advcam" else None,
    }
    with run.stage("attribute", settings, OUTPUTS) as entry:
        missing = {record.id for record in run.wanted if not has_maps(run, record)}
        entry |= {
            "images": len(run.wanted),
            "made": len(missing),
            "device": str(run.device),
            "batch_pixels": batch_pixels,
            "climbed_from": mapper.layer or "pixels",
        }
        kept = len(run.wanted) - len(missing)
        if kept:
            say(f"attribute: {kept} of {len(run.wanted)} images are there already and kept")
        loader = Loader(run, {record.id: record for record in run.records}, config.scales, config.max_side)
        todo = [unit for unit in loader.units(method.views, batch_pixels) if missing.intersection(unit.ids)]
        unheld = 0
        with progress("attribute", len(run.wanted), kept) as advance:
            for record in run.wanted:
                if record.id in missing and not record.classes:
                    save_empty(run, record)
                    advance()
            for unit in ahead(todo, loader.load):
                run.leave_out(None, unit.problems)
                if unit.records:
                    held = held_regions(unit.regions, unit.size)
                    pairs = map_pictures(
                        mapper,
                        unit.pictures,
                        [record.classes for record in unit.records],
                        method,
                        scales=config.scales,
                        size=unit.size,
                        batch_pixels=batch_pixels,
                        saliency=None if held is None else held.to(run.device),
                    )
                    save_unit(run, unit, pairs, missing)
                    own = [region for one, region in zip(unit.records, unit.regions, strict=True) if one.id in missing]
                    unheld += sum(region is None for region in own)
                advance(len(missing.intersection(unit.ids)))
        if settings["saliency"] and unheld:
            say(f"attribute: {unheld} images were climbed without region D: no saliency map, or one without an object")
        entry["flagged"] = write_flags(run)


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
class Loader:
    """Plans the units of a run, and decodes and scales their images."""

    run: Run
    records: dict[str, Record]
    scales: Sequence[float]
    max_side: int

    def units(self, views: int, batch_pixels: int) -> list[Unit]:
        """The plan over all images with a class; those whose header cannot be read are an error or left out."""
        sizes = []
        for record in self.records.values():
            if record.classes:
                try:
                    sizes.append((record.id, image_size(record.image), len(record.classes)))
                except DataError as error:
                    self.pass_over([error])

        def max_pairs(size: Size) -> int:
            reduced = min(1.0, self.max_side / max(size))
            return max(1, int(batch_pixels / (views * size[0] * size[1] * reduced**2)))

        return plan(sizes, max_pairs)

    def load(self, unit: Unit) -> LoadedUnit:
        """Decode the images of a unit and scale them."""
        records, images, problems = [], [], []
        for image_id in unit.ids:
            try:
                images.append(reduce(read_image(self.records[image_id].image), self.max_side))
                records.append(self.records[image_id])
            except DataError as error:
                problems.append(error)
        names = self.pass_over(problems)
        pictures = [[scale_image(image, scale) for image in images] for scale in self.scales]
        climbed = self.run.config.attribute.method == "advcam" and self.run.config.saliency.source != "none"
        regions = [salient_region(self.run, record, unit.size) if climbed else None for record in records]
        return LoadedUnit(unit.size, unit.ids, records, pictures, regions, names)

    def pass_over(self, problems: Sequence[DataError]) -> list[str]:
        if problems and not self.run.config.skip_bad:
            raise problems[0]
        return [str(problem) for problem in problems]


def reduce(image: UInt8[np.ndarray, "H W 3"], max_side: int) -> UInt8[np.ndarray, "h w 3"]:
    """The image with its longer side at most ``max_side`` pixels."""
    return resize_long_side(image, max_side) if max(image.shape) > max_side else image


def has_maps(run: Run, record: Record) -> bool:
    return all(run.folder.has_maps(record, kind) for kind in ("maps", "cam"))


def save_unit(run: Run, unit: LoadedUnit, pairs: MappedPairs, missing: set[str]) -> None:
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


def save_empty(run: Run, record: Record) -> None:
    """The files of an image that shows no class."""
    size = image_size(record.image)
    none = np.zeros((0, *stored_size(size)), np.float16)
    save(run, record, size, maps=none, cam=none, scores=np.zeros(0, np.float32))


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
