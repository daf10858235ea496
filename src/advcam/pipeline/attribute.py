"""The stage that turns images into localization maps: climbed ones and, from the same passes, plain ones.

All that touches ``advcam.attribute`` is here: ``Mapping`` maps batches of whole images at several scales,
``SquareMapping`` those of a localization run, one square view each.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, UInt8

from advcam.attribute.result import LocalizationMaps
from advcam.attribute.settings import climbs
from advcam.data.images import image_size, read_image
from advcam.data.record import Record
from advcam.data.transforms import resize_long_side, scale_image
from advcam.errors import DataError
from advcam.io.files import uncell, write_table
from advcam.io.progress import say
from advcam.pipeline.classify import run_classifier
from advcam.pipeline.keys import key_of
from advcam.pipeline.parts import (
    Batch,
    Outcome,
    Wanted,
    pass_over,
    plan,
    process_count,
    sized,
    work_through,
)
from advcam.pipeline.run import Run
from advcam.pipeline.saliency import held_regions, saliency_facts, saliency_keys, salient_region

if TYPE_CHECKING:
    from pathlib import Path

    from advcam.attribute.engine import MappedPairs
    from advcam.attribute.inputs import PictureMap
    from advcam.attribute.settings import ClimbSettings
    from advcam.attribute.wsol import ScoreMaps

FLAG_COLUMNS = ("image", "class", "probability", "reason")
# Below it the classifier would not name the class itself.
SEEN = 0.5


def is_wsol(run: Run) -> bool:
    """Whether this is a run of localization, with its own classifiers and views."""
    return run.config.wsol.method != "none"


def facts(run: Run, kind: str) -> dict[str, Any]:
    """What the maps of a kind depend on, but for the images."""
    config = run.config.attribute
    found: dict[str, Any] = {"classifier": run.content("classifier", "classify"), "precision": config.precision}
    if config.map != "cam":
        found |= {"map": config.map, "layer": list(config.layer)}
    if is_wsol(run):
        found |= {"side": run.config.wsol.crop, "adapt": config.adapt}
    else:
        found |= {"scales": list(config.scales), "max_side": config.max_side}
    if climbs(kind):
        found |= {"climb": asdict(run.config.climb), "adapt": config.adapt, "batch_pixels": config.batch_pixels}
        found["saliency"] = None if is_wsol(run) else saliency_facts(run)
    return found


def keys(run: Run, kind: str, records: tuple[Record, ...]) -> dict[str, str]:
    """The key of each image's maps: of the classes that it is labelled with, from the picture that it is now."""
    static, pictures = key_of(facts(run, kind)), run.pictures(records)
    held = saliency_keys(run) if climbs(kind) and not is_wsol(run) else {}
    return {r.id: key_of([static, pictures[r.id], r.classes, held.get(r.id)]) for r in records}


def attribute(run: Run) -> None:
    """Write the maps of every wanted image, of the run's kind and of the baseline's."""
    square = is_wsol(run)
    if square:
        check_localization(run)
    kinds = tuple(reversed(run.kinds))
    found = {kind: facts(run, kind) for kind in kinds}
    # Before the baseline, whose maps may be fresh, is begun.
    run.refuse_stale(f"{run.kind}/maps", found[run.kind], [f"{run.kind}/maps"])
    wanted = [Wanted(f"{kind}/maps", keys(run, kind, run.wanted), partial(run.folder.maps, kind)) for kind in kinds]
    if square:
        wanted.append(Wanted(f"{run.kind}/scores", wanted[0].keys, partial(run.folder.scores, run.kind)))
    with ExitStack() as stack:
        entries = {k: stack.enter_context(run.making(f"{k}/maps", found[k], [f"{k}/maps"])).entry for k in run.kinds}
        mapping = (SquareMapping if square else Mapping).of(run, run.class_names)
        processes = process_count(run)
        # Rounding depends on the batch: what was settled when the folder was begun holds to its end.
        settled: dict[str, Any] = {}
        for entry in entries.values():
            settled |= entry.settled
        settled.setdefault("batch_pixels", run.config.attribute.batch_pixels or mapping.batch_pixels(processes))
        for entry in entries.values():
            entry.settled = dict(settled)
        batches = mapping.plan(run, settled["batch_pixels"])
        build = partial(_build, square=square, class_names=run.class_names, batch_pixels=settled["batch_pixels"])
        missing, told = work_through(run, wanted, batches, build, "attribute", processes=processes)
        if told["unheld"] and found[run.kind].get("saliency"):
            say(
                f"attribute: {told['unheld']} images were climbed without region D: no saliency map, or one without an "
                "object"
            )
        now = {"images": len(run.wanted), "of": len(run.records), "device": str(run.device), **mapping.described}
        for kind, entry in entries.items():
            entry.result = now | ({} if kind == run.kind else {"kind": kind, "climb": None})
        entries[run.kind].result |= {"made": len(missing), "processes": processes, "flagged": write_flags(run)}


def _build(run: Run, *, square: bool, class_names: tuple[str, ...], batch_pixels: int) -> Mapping | SquareMapping:
    return (SquareMapping if square else Mapping).of(run, class_names, batch_pixels)


@dataclass(frozen=True)
class LoadedImages:
    """Images of one size, ready for the engine: for every scale, the pictures at that scale."""

    records: list[Record]
    pictures: list[list[UInt8[np.ndarray, "_ _ 3"]]]
    regions: list[Bool[np.ndarray, "_ _"] | None]
    """For every image where its salient object is, if that is known."""
    problems: list[str]


@dataclass(frozen=True)
class Mapping:
    """The network in the form in which it maps, and the method."""

    run: Run
    map: PictureMap
    method: Any
    described: dict[str, Any]
    """For the report: the climb as it is made on this network."""
    softmax: bool
    pixels: int
    threaded: bool = False

    @classmethod
    def of(cls, run: Run, class_names: tuple[str, ...], batch_pixels: int = 0) -> Mapping:
        from advcam.attribute.methods import attributor

        config = run.config
        map_, _ = map_of_run(run, class_names)
        climb = climb_on(run, map_)
        described = {
            "kind": run.kind,
            "climb": asdict(climb) if climbs(run.kind) else None,
            "scales": list(config.attribute.scales),
        }
        softmax = run.record.artifacts["classifier"].result.get("loss") == "softmax"
        return cls(run, map_, attributor(config.attribute, climb), described, softmax, batch_pixels)

    def batch_pixels(self, processes: int) -> int:
        """Pixels in one batch, such that every process has room for it."""
        return room(self.map, processes)

    def plan(self, run: Run, pixels: int) -> list[Batch]:
        """Batches of one size; an image without a class by itself."""

        def most(size: tuple[int, int]) -> int:
            mapped = size[0] * size[1] * min(1.0, run.config.attribute.max_side / max(size)) ** 2
            return max(1, int(pixels / (self.method.views * mapped)))

        empty = [Batch((record,)) for record in run.records if not record.classes]
        return empty + plan(sized(run, (record for record in run.records if record.classes)), most)

    def load(self, batch: Batch) -> LoadedImages:
        config = self.run.config
        records, images, problems = [], [], []
        for record in batch.records if batch.size is not None else ():
            try:
                images.append(reduce(read_image(record.image), config.attribute.max_side))
                records.append(record)
            except DataError as error:
                problems.append(pass_over(error, config.skip_bad))
        pictures = [[scale_image(image, scale) for image in images] for scale in config.attribute.scales]
        held = climbs(self.run.kind) and config.saliency.source != "none"
        regions = [salient_region(self.run, record, batch.size or (0, 0)) if held else None for record in records]
        return LoadedImages(records, pictures, regions, problems)

    def make(self, batch: Batch, loaded: LoadedImages) -> tuple[LoadedImages, MappedPairs | None]:
        from advcam.attribute.engine import map_pictures
        from advcam.models.precision import tensor_float

        if batch.size is None or not loaded.records:
            return loaded, None
        held = held_regions(loaded.regions, batch.size)
        with tensor_float(self.run.config.attribute.precision):
            return loaded, map_pictures(
                self.map,
                loaded.pictures,
                [record.classes for record in loaded.records],
                self.method,
                scales=self.run.config.attribute.scales,
                size=batch.size,
                batch_pixels=self.pixels,
                saliency=None if held is None else held.to(self.map.device),
            )

    def save(self, batch: Batch, made: tuple[LoadedImages, MappedPairs | None], missing: Any) -> Outcome:
        loaded, pairs = made
        outcome = Outcome(problems=loaded.problems)
        if batch.size is None:
            for record in batch.records:
                self.keep(record, image_size(record.image), {}, np.zeros(0, np.float32), missing, outcome)
            return outcome
        if pairs is None:
            return outcome
        probabilities = (pairs.logits.softmax(dim=1) if self.softmax else pairs.logits.sigmoid()).float().cpu().numpy()
        maps = {
            self.run.kind: pairs.maps.float().cpu().numpy(),
            self.run.baseline: pairs.cam.float().cpu().numpy(),
        }
        start = 0
        for record, region in zip(loaded.records, loaded.regions, strict=True):
            own = slice(start, start + len(record.classes))
            start = own.stop
            scores = probabilities[own][range(len(record.classes)), list(record.classes)]
            here = {kind: values[own] for kind, values in maps.items()}
            self.keep(record, batch.size, here, scores, missing, outcome)
            outcome.told["unheld"] += region is None and record.id in missing
        return outcome

    def keep(
        self, record: Record, size: tuple[int, int], maps: dict[str, Any], scores: Any, missing: Any, outcome: Outcome
    ) -> None:
        """Write the files of an image that are missing."""
        from advcam.attribute.grid import stored_size

        for kind in self.run.kinds:
            name = f"{kind}/maps"
            if name in missing.get(record.id, ()):
                values = maps.get(kind, np.zeros((0, *stored_size(size)), np.float16)).astype(np.float16)
                path = self.run.folder.maps(kind, record.id)
                LocalizationMaps(np.asarray(record.classes, dtype=np.int64), values, size, scores).save(path)
                outcome.files.append((name, record.id, path))


def map_of_run(run: Run, class_names: tuple[str, ...] | None = None) -> tuple[PictureMap, Any]:
    """What the run looks at on its classifier, and the method that this was trained by."""
    from advcam.attribute.maps.table import Trained, map_of
    from advcam.classify.wsol.build import load_method
    from advcam.models.fold import fold_batch_norm
    from advcam.models.precision import in_precision

    config = run.config.attribute
    run_classifier(run, class_names)
    network: Any = load_method(run.folder.classifier, class_names or run.class_names)[0]
    network = network.to(run.device).to(memory_format=torch.channels_last)
    mapper = network.classifier.mapper()
    # Folding takes layers apart, so that they have no outputs of their own.
    mapper = in_precision(mapper if config.layer else fold_batch_norm(mapper), config.precision)
    own = network.map if is_wsol(run) and config.map == "cam" else config.map
    return map_of(own, Trained(network, mapper, config.layer, run.config.climb.signed)), network


def climb_on(run: Run, map_: PictureMap) -> ClimbSettings:
    """The settings of the climb, in the units of what is climbed."""
    from advcam.attribute.settings import adapted

    return adapted(run.config.climb, map_.units) if run.config.attribute.adapt else run.config.climb


def room(map_: PictureMap, processes: int) -> int:
    """Pixels in one batch, such that every process has room for it."""
    from advcam.attribute.memory import batch_pixels, free_memory

    free = free_memory(map_.device)
    shared = map_.device.type == "cpu" and free is not None
    return batch_pixels(map_, free // processes if shared and free is not None else free)


def reduce(image: UInt8[np.ndarray, "H W 3"], max_side: int) -> UInt8[np.ndarray, "h w 3"]:
    """The image with its longer side at most ``max_side`` pixels."""
    return resize_long_side(image, max_side) if max(image.shape) > max_side else image


# -- localization: every image as one square view, its class's raw maps ----------------------------------------------


def check_localization(run: Run) -> None:
    """Refuse what a localization run cannot map."""
    from advcam.classify.wsol.task import check_single_class

    for images in run.mapped_sets.values():
        check_single_class(images)


@dataclass(frozen=True)
class SquareMapping:
    """A network of the localization benchmark in the form in which it maps squares."""

    run: Run
    network: Any
    map: PictureMap
    climb: Any
    described: dict[str, Any]
    threaded: bool = False

    @classmethod
    def of(cls, run: Run, class_names: tuple[str, ...], batch_pixels: int = 0) -> SquareMapping:
        from advcam.attribute.settings import ClimbSettings

        config = run.config
        map_, network = map_of_run(run, class_names)
        climb = climb_on(run, map_) if climbs(run.kind) else None
        if climb is not None and config.climb == ClimbSettings.released():
            say("attribute: climb has its defaults for segmentation; see recipe voc12_wsol_mobilenet for localization")
        described = {
            "kind": run.kind,
            "side": config.wsol.crop,
            "climb": None if climb is None else asdict(climb),
        }
        return cls(run, network, map_, climb, described)

    def batch_pixels(self, processes: int) -> int:
        """Pixels in one batch, such that every process has room for it."""
        return room(self.map, processes)

    def plan(self, run: Run, pixels: int) -> list[Batch]:
        """All images in their order: the views are of one size."""
        count = max(1, pixels // run.config.wsol.crop**2)
        return [Batch(run.records[start : start + count]) for start in range(0, len(run.records), count)]

    def load(self, batch: Batch) -> Any:
        from advcam.attribute.inputs import to_input
        from advcam.classify.wsol.task import square

        records, sizes, inputs, problems, side = [], [], [], [], self.run.config.wsol.crop
        for record in batch.records:
            try:
                image = read_image(record.image)
            except DataError as error:
                problems.append(pass_over(error, self.run.config.skip_bad))
                continue
            records.append(record)
            sizes.append((image.shape[0], image.shape[1]))
            inputs.append(to_input(np.ascontiguousarray(square(image, side)), self.map))
        return records, sizes, inputs, problems

    def make(self, batch: Batch, loaded: Any) -> tuple[Any, ScoreMaps | None]:
        from advcam.attribute.wsol import score_maps

        records, _, inputs, _ = loaded
        if not records:
            return loaded, None
        classes = torch.tensor([record.classes[0] for record in records], device=self.run.device)
        images = torch.stack(inputs).to(self.run.device)
        return loaded, score_maps(self.network, self.map, images, classes, self.climb)

    def save(self, batch: Batch, made: tuple[Any, ScoreMaps | None], missing: Any) -> Outcome:
        from advcam.attribute.grid import stored
        from advcam.attribute.wsol import ScoreMapFile

        (records, sizes, _, problems), found = made
        outcome = Outcome(problems=problems)
        if found is None:
            return outcome
        probabilities, predicted = found.logits.softmax(dim=1), found.logits.argmax(dim=1).tolist()
        for index, (record, size) in enumerate(zip(records, sizes, strict=True)):
            label = record.classes[0]
            probability = float(probabilities[index, label])
            raw = {self.run.baseline: found.cam[index].float().cpu()}
            raw[self.run.kind] = found.maps[index].float().cpu()
            for kind, score_map in raw.items():
                if f"{kind}/maps" in missing.get(record.id, ()):
                    path = self.run.folder.maps(kind, record.id)
                    kept = stored([score_map[None]], size).numpy().astype(np.float16)
                    scores = np.array([probability], dtype=np.float32)
                    LocalizationMaps(np.array([label]), kept, size, scores).save(path)
                    outcome.files.append((f"{kind}/maps", record.id, path))
            if f"{self.run.kind}/scores" in missing.get(record.id, ()):
                path = self.run.folder.scores(self.run.kind, record.id)
                own = (raw[self.run.baseline].numpy(), raw[self.run.kind].numpy())
                ScoreMapFile(label, predicted[index], probability, *own, size).save(path)
                outcome.files.append((f"{self.run.kind}/scores", record.id, path))
        return outcome


# -- images whose classes the classifier does not see: listed, never hidden ------------------------------------------


@dataclass(frozen=True)
class Flag:
    """A known class of an image that the classifier does not see."""

    image: str
    class_name: str
    probability: float
    reason: str


def write_flags(run: Run) -> int:
    """Write ``flagged.csv`` from the maps of all wanted images; returns the number of images in it."""
    flags = [flag for record in run.mapped(run.kind) for flag in flags_of(run, record)]
    rows = [(flag.image, flag.class_name, f"{flag.probability:.4f}", flag.reason) for flag in flags]
    write_table(run.folder.flagged, [FLAG_COLUMNS, *rows])
    return len({flag.image for flag in flags})


def flags_of(run: Run, record: Record) -> list[Flag]:
    """The classes of one image that the classifier gives less than one half, or of which it finds no trace."""
    result = LocalizationMaps.load(run.folder.maps(run.kind, record.id))
    found = []
    for index, probability in zip(result.classes.tolist(), result.scores.tolist(), strict=True):
        if index in result.unseen:
            reason = "no trace: the map is zero everywhere"
        elif probability < SEEN:
            reason = "the classifier would not name it"
        else:
            continue
        found.append(Flag(record.id, run.class_names[index], probability, reason))
    return found


def read_flags(path: Path) -> list[Flag]:
    """What ``write_flags`` wrote; nothing where it has not run, or where the table is damaged."""
    import csv

    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        return [Flag(uncell(r["image"]), uncell(r["class"]), float(r["probability"]), r["reason"]) for r in rows]
    except (OSError, KeyError, ValueError, TypeError, AttributeError, csv.Error):
        return []
