"""Batches of images through the network that maps them: whole images at several scales, or the square views of a
localization run. All that touches ``advcam.attribute`` is here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, UInt8

from advcam.attribute.result import LocalizationMaps
from advcam.attribute.settings import climbs
from advcam.data.images import image_size, read_image
from advcam.data.record import Record
from advcam.data.transforms import resize_long_side, scale_image
from advcam.errors import SettingsError
from advcam.io.progress import say
from advcam.pipeline.classify import run_classifier
from advcam.pipeline.parts import Batch, Outcome, in_turn, plan, readable, sized
from advcam.pipeline.run import Run, spread
from advcam.pipeline.saliency import held_regions, salient_region

if TYPE_CHECKING:
    from advcam.attribute.climb import Climbed
    from advcam.attribute.inputs import PictureMap
    from advcam.attribute.settings import ClimbSettings


def is_wsol(run: Run) -> bool:
    """Whether this is a run of localization, with its own classifiers and views."""
    return run.config.wsol.method != "none"


@dataclass(frozen=True)
class LoadedImages:
    """Images of one size, ready for the engine: for every scale, the pictures at that scale."""

    records: list[Record]
    pictures: list[list[UInt8[np.ndarray, "_ _ _"]]]
    guides: list[list[UInt8[np.ndarray, "_ _ _"]]]
    """Likewise for the guide, at its own scales."""
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
    guide: PictureMap | None = None
    threaded: bool = False

    @classmethod
    def of(
        cls,
        run: Run,
        class_names: tuple[str, ...],
        batch_pixels: int = 0,
        chosen: dict[str, float] | None = None,
    ) -> Mapping:
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
        guide = guide_of(run, class_names)
        own = cls(run, map_, attributor(config.attribute, climb), described, softmax, batch_pixels, guide)
        return own if chosen is None else own.with_climb(chosen)

    def with_climb(self, chosen: dict[str, float]) -> Mapping:
        """With the step and lambda that ``calibrated`` chose."""
        climb = replace(self.method.settings, **{name: chosen[name] for name in CALIBRATED})
        method, described = replace(self.method, settings=climb), self.described | {"climb": asdict(climb)}
        return replace(self, method=method, described=described)

    def batch_pixels(self) -> int:
        return room(self.map)

    def calibrated(self) -> dict[str, float]:
        """Step and lambda, chosen on a few images of the whole data set by their labels alone."""
        from advcam.analyse.calibration import calibrate
        from advcam.models.precision import tensor_float

        config, channels = self.run.config, len(self.map.mean)
        labelled = spread([record for record in self.run.records if record.classes], config.climb.calibrate)
        records, images, _ = readable(labelled, lambda record: read_image(record.image, channels), config.skip_bad)
        pictures = [reduce(image, config.attribute.max_side) for image in images]
        classes = [record.classes for record in records]
        with tensor_float(config.attribute.precision):
            return asdict(calibrate(self.map, pictures, classes, self.method.settings, config.attribute.scales))

    def plan(self, run: Run, pixels: int, records: Sequence[Record]) -> list[Batch]:
        """Batches of one size; an image without a class by itself."""

        def most(size: tuple[int, int]) -> int:
            if self.windowed(size):
                return 1
            mapped = size[0] * size[1] * min(1.0, run.config.attribute.max_side / max(size)) ** 2
            return max(1, int(pixels / (self.method.views * mapped)))

        empty = [Batch((record,)) for record in records if not record.classes]
        batches = plan(sized(run, (record for record in records if record.classes)), most)
        side = run.config.attribute.max_side
        if reduced := sum(
            len(b.records) for b in batches if b.size and max(b.size) > side and not self.windowed(b.size)
        ):
            say(f"attribute: {reduced} images are longer than {side} pixels and reduced: --attribute.window keeps them")
        return empty + batches

    def windowed(self, size: tuple[int, int]) -> bool:
        """Whether an image is mapped in windows."""
        return 0 < self.run.config.attribute.window < max(size)

    def load(self, batch: Batch) -> LoadedImages:
        config = self.run.config

        def read(record: Record) -> UInt8[np.ndarray, "_ _ _"]:
            image = read_image(record.image, len(self.map.mean))
            return image if self.windowed(image.shape[:2]) else reduce(image, config.attribute.max_side)

        own = batch.records if batch.size is not None else ()
        records, images, problems = readable(own, read, config.skip_bad)
        # Windows are scaled one by one, when they are mapped.
        scales = (1.0,) if batch.size is None or self.windowed(batch.size) else config.attribute.scales
        pictures, guides = (
            [[scale_image(image, scale) for image in images] for scale in own]
            for own in (scales, config.attribute.guide_scales if self.guide else ())
        )
        held = climbs(self.run.kind) and config.saliency.source != "none"
        regions = [salient_region(self.run, record, batch.size or (0, 0)) if held else None for record in records]
        return LoadedImages(records, pictures, guides, regions, problems)

    def make(self, batch: Batch, loaded: LoadedImages) -> tuple[LoadedImages, Climbed | None]:
        from advcam.attribute.memory import give_back

        if batch.size is None or not loaded.records:
            return loaded, None
        found = self.in_windows(loaded) if self.windowed(batch.size) else self.whole(loaded, batch.size)
        give_back(self.map.device)
        return loaded, found

    def whole(self, loaded: LoadedImages, size: tuple[int, int]) -> Climbed:
        """Maps of images of one size."""
        from advcam.attribute.engine import guided, map_pictures
        from advcam.attribute.methods import Plain
        from advcam.models.precision import tensor_float

        asked, held = self.run.config.attribute, held_regions(loaded.regions, size)
        classes = [record.classes for record in loaded.records]
        with tensor_float(asked.precision):
            found = map_pictures(
                self.map,
                loaded.pictures,
                classes,
                self.method,
                scales=asked.scales,
                size=size,
                batch_pixels=self.pixels,
                saliency=None if held is None else held.to(self.map.device),
            )
            if self.guide is None:
                return found
            plain = map_pictures(
                self.guide,
                loaded.guides,
                classes,
                Plain(),
                scales=asked.guide_scales,
                size=size,
                batch_pixels=self.pixels,
            )
            return guided(found, plain)

    def in_windows(self, loaded: LoadedImages) -> Climbed:
        """Maps of one large image."""
        from advcam.attribute.windows import map_windows
        from advcam.models.precision import tensor_float

        asked = self.run.config.attribute
        with tensor_float(asked.precision):
            return map_windows(
                self.map,
                loaded.pictures[0][0],
                loaded.records[0].classes,
                self.method,
                scales=asked.scales,
                side=asked.window,
                batch_pixels=self.pixels,
                softmax=self.softmax,
                region=loaded.regions[0],
            )

    def save(self, batch: Batch, made: tuple[LoadedImages, Climbed | None], missing: Any) -> Outcome:
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
                path = self.run.folder.file(f"{kind}/maps", record.id)
                LocalizationMaps(np.asarray(record.classes, dtype=np.int64), values, size, scores).save(path)
                outcome.files.append((name, record.id, path))


def map_of_run(run: Run, class_names: tuple[str, ...] | None = None) -> tuple[PictureMap, Any]:
    """What the run looks at on its classifier, and the method that this was trained by."""
    from advcam.attribute.maps.table import Trained, map_of
    from advcam.classify.methods import load_method
    from advcam.models.fold import fold_batch_norm
    from advcam.models.precision import in_precision

    config = run.config.attribute
    run_classifier(run, class_names)
    network: Any = load_method(run.folder.classifier, class_names or run.class_names)[0]
    network = network.to(run.device).to(memory_format=torch.channels_last)
    mapper = network.classifier.mapper()
    # Folding takes layers apart, so that they have no outputs of their own.
    mapper = in_precision(mapper if config.layer else fold_batch_norm(mapper), config.precision)
    if config.map == "seam" and config.precision == "bf16":
        raise SettingsError("attribute.map seam is computed in single precision: leave attribute.precision out")
    own = network.map if is_wsol(run) and config.map == "cam" else config.map
    return map_of(own, Trained(network, mapper, config.layer, run.config.climb.signed)), network


def guide_of(run: Run, class_names: tuple[str, ...]) -> PictureMap | None:
    """Plain CAM of the classifier that guides the maps."""
    from advcam.attribute.maps.table import Trained, map_of
    from advcam.classify.methods import load_method
    from advcam.models.fold import fold_batch_norm
    from advcam.models.precision import in_precision

    config = run.config.attribute
    if config.guide is None:
        return None
    network: Any = load_method(Path(config.guide), class_names)[0]
    network = network.to(run.device).to(memory_format=torch.channels_last)
    mapper = in_precision(fold_batch_norm(network.classifier.mapper()), config.precision)
    return map_of("cam", Trained(network, mapper, (), False))


# What climb.calibrate chooses.
CALIBRATED = ("step_size", "reg_weight")


def climb_on(run: Run, map_: PictureMap) -> ClimbSettings:
    """The settings of the climb, in the units of what is climbed."""
    from advcam.attribute.settings import adapted

    own = adapted(run.config.climb, map_.units) if run.config.attribute.adapt else run.config.climb
    return replace(own, calibrate=None)


def room(map_: PictureMap) -> int:
    """Pixels in one batch, such that every core has room for its own."""
    from advcam.attribute.memory import batch_pixels, free_memory

    free = free_memory(map_.device)
    shared = map_.device.type == "cpu" and free is not None
    return batch_pixels(map_, free // torch.get_num_threads() if shared and free is not None else free)


def reduce(image: UInt8[np.ndarray, "H W C"], max_side: int) -> UInt8[np.ndarray, "h w C"]:
    """The image with its longer side at most ``max_side`` pixels."""
    return resize_long_side(image, max_side) if max(image.shape[:2]) > max_side else image


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

    def batch_pixels(self) -> int:
        return room(self.map)

    def plan(self, run: Run, pixels: int, records: Sequence[Record]) -> list[Batch]:
        """All images in their order: the views are of one size."""
        return in_turn(records, max(1, pixels // run.config.wsol.crop**2))

    def load(self, batch: Batch) -> Any:
        from advcam.attribute.inputs import to_input
        from advcam.classify.wsol.task import square

        def read(record: Record) -> tuple[tuple[int, int], torch.Tensor]:
            image = read_image(record.image)
            view = np.ascontiguousarray(square(image, self.run.config.wsol.crop))
            return (image.shape[0], image.shape[1]), to_input(view, self.map)

        return readable(batch.records, read, self.run.config.skip_bad)

    def make(self, batch: Batch, loaded: Any) -> tuple[Any, Climbed | None]:
        from advcam.attribute.wsol import score_maps

        records, found, _ = loaded
        if not records:
            return loaded, None
        classes = torch.tensor([record.classes[0] for record in records], device=self.run.device)
        images = torch.stack([view for _, view in found]).to(self.run.device)
        tested = self.run.config.attribute.map in ("cam", self.network.map)
        return loaded, score_maps(self.network, self.map, images, classes, self.climb, tested=tested)

    def save(self, batch: Batch, made: tuple[Any, Climbed | None], missing: Any) -> Outcome:
        from advcam.attribute.grid import stored
        from advcam.attribute.wsol import ScoreMapFile

        (records, loaded, problems), found = made
        outcome = Outcome(problems=problems)
        if found is None:
            return outcome
        probabilities, predicted = found.logits.softmax(dim=1), found.logits.argmax(dim=1).tolist()
        for index, (record, (size, _)) in enumerate(zip(records, loaded, strict=True)):
            label = record.classes[0]
            probability = float(probabilities[index, label])
            raw = {self.run.baseline: found.cam[index].float().cpu()}
            raw[self.run.kind] = found.maps[index].float().cpu()
            for kind, score_map in raw.items():
                if f"{kind}/maps" in missing.get(record.id, ()):
                    path = self.run.folder.file(f"{kind}/maps", record.id)
                    kept = stored([score_map[None]], size).numpy().astype(np.float16)
                    scores = np.array([probability], dtype=np.float32)
                    LocalizationMaps(np.array([label]), kept, size, scores).save(path)
                    outcome.files.append((f"{kind}/maps", record.id, path))
            if f"{self.run.kind}/scores" in missing.get(record.id, ()):
                path = self.run.folder.file(f"{self.run.kind}/scores", record.id)
                own = (raw[self.run.baseline].numpy(), raw[self.run.kind].numpy())
                ScoreMapFile(label, predicted[index], probability, *own, size).save(path)
                outcome.files.append((f"{self.run.kind}/scores", record.id, path))
        return outcome
