"""The stage that turns localization maps into boxes, and their score against true boxes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from PIL import Image

from advcam.data.images import read_image
from advcam.data.masks import voc_palette
from advcam.data.record import Record
from advcam.errors import DataError
from advcam.evaluate.detections import RIGHT, DetectionCounts, count_boxes
from advcam.evaluate.result import ThresholdSource
from advcam.io.files import read_json, write_json, writing
from advcam.io.keys import key_of, plain
from advcam.io.progress import progress, say
from advcam.localize.detection import Detection, coco_boxes, read_boxes, write_boxes
from advcam.localize.normalize import protocol_map
from advcam.localize.objects import Objects, find_objects, objects_above
from advcam.localize.settings import LocalizeSettings
from advcam.pipeline.config import RunConfig
from advcam.pipeline.engines import in_threads
from advcam.pipeline.keys import Artifact, Facts, Steps, making
from advcam.pipeline.parts import Batch, Outcome, Plan, Wanted, in_turn
from advcam.pipeline.refiner import full_maps
from advcam.pipeline.run import Run
from advcam.pipeline.through import work_through
from advcam.report.box_overlays import DrawnBox, box_overlay

NAME, FOUND, OVERLAYS = "boxes", "boxes/images", "box_overlays"
OUTPUTS = ("boxes.csv", "boxes.json")
# They say what is drawn and when, and change no box.
WITHOUT_NUMBERS = ("in_run", "overlays")
# What "swept" tries.
TRIED = tuple(round(0.05 * step, 2) for step in range(1, 20))


@dataclass(frozen=True)
class ImageBoxes:
    """The objects of one image, by class."""

    record: Record
    size: tuple[int, int]
    objects: dict[int, Objects]
    probabilities: dict[int, float]


def settings_facts(run: Run) -> dict[str, Any]:
    """What the boxes depend on, but for the maps and the threshold that is chosen."""
    return {name: value for name, value in asdict(run.config.localize).items() if name not in WITHOUT_NUMBERS}


def current_facts(run: Run) -> dict[str, Any]:
    """What the boxes depend on as things are; a threshold that was chosen on true boxes holds."""
    entry = run.record.artifacts.get(NAME)
    chosen = entry.facts.get("chosen") if entry and run.config.localize.threshold == "swept" else None
    return {"settings": settings_facts(run), "chosen": chosen or run.config.localize.threshold, "kind": run.kind}


def keys(run: Run, facts: Facts | None = None) -> dict[str, str]:
    """The key of each mapped image's boxes, as things are unless told."""
    static, maps = key_of(current_facts(run) if facts is None else facts), run.ledger(f"{run.kind}/maps")
    return {record.id: key_of([static, maps.key(record.id)]) for record in run.mapped(run.kind)}


def check_data(run: Run) -> None:
    """There are boxes for a threshold that is swept."""
    if run.config.localize.threshold == "swept" and not true_boxes(run, run.tune_name):
        raise DataError(
            f"localize.threshold is swept, but {run.config.data} has no boxes for {run.tune_name}: "
            "take localize.threshold auto, or a number"
        )


def localize(run: Run) -> None:
    """Write ``boxes.csv``, ``boxes.json`` in COCO's form and the images with their boxes, ``box_overlays``."""
    config = run.config.localize
    run.need(f"{run.kind}/maps", "attribute")
    chosen, source = choose(run)
    facts = {"settings": settings_facts(run), "chosen": chosen.threshold, "kind": run.kind}
    with making(run, NAME, facts, OUTPUTS) as made:
        records = run.mapped(run.kind)
        if len(records) < len(run.wanted):
            say(f"localize: {len(run.wanted) - len(records)} images have no maps yet and get no boxes")
        roots = {record.id: images.root for images in run.mapped_sets.values() for record in images.records}
        own = keys(run, plain(facts))
        wanted = [Wanted(FOUND, own)]
        if config.overlays:
            wanted.append(Wanted(OVERLAYS, own))
        work_through(run, wanted, Plan(records, in_turn), records, partial(BoxWork, settings=chosen), "localize")
        detections: list[Detection] = []
        images = []
        for record in records:
            found = read_json(run.folder.file(FOUND, record.id), FoundBoxes)
            detections += [
                Detection(record.id, run.class_names[index], score, box) for index, box, score in found.boxes
            ]
            images.append((record.id, file_name(record, roots[record.id]), found.size))
        write_boxes(run.folder.boxes, detections)
        write_json(run.folder.boxes.with_suffix(".json"), coco_boxes(images, run.class_names, detections))
        run.ledger(NAME).renew(own)
        made.entry.result = {
            "images": len(records),
            "of": len(run.records),
            "boxes": len(detections),
            "source": source and asdict(source),
            "threshold": chosen.threshold,
        }
    say(f"localize: {len(detections)} boxes of {len(records)} images, threshold {describe(chosen, source)}")


def describe(chosen: LocalizeSettings, source: ThresholdSource | None) -> str:
    """The threshold in words."""
    if source is None:
        return "chosen for each map by itself, without ground truth"
    return f"{chosen.threshold:.2f}, {source}"


def choose(run: Run) -> tuple[LocalizeSettings, ThresholdSource | None]:
    """The settings with the threshold in place of "swept", and where it comes from; None for "auto"."""
    config = run.config.localize
    if config.threshold == "auto":
        return config, None
    if config.threshold != "swept":
        return config, ThresholdSource.fixed()
    check_data(run)
    records = [record for record in true_boxes(run, run.tune_name) if run.has_maps(run.kind, record)]
    counts = [DetectionCounts()] * len(TRIED)

    def work(record: Record) -> list[DetectionCounts]:
        result = run.read_maps(run.kind, record)
        maps = full_maps(result, result.image_size)
        own = [DetectionCounts()] * len(TRIED)
        for index, score_map in zip(result.classes.tolist(), maps, strict=True):
            scores = protocol_map(score_map, *result.image_size, config.normalization, record.id).numpy()
            found = [objects_above(scores, threshold * scores.max(), config) for threshold in TRIED]
            truth = truth_of(record, index)
            own = [sum_ + count_boxes(at.boxes, truth) for sum_, at in zip(own, found, strict=True)]
        return own

    with progress("localize: thresholds", len(records)) as advance:
        for own in in_threads(work, records, torch.get_num_threads()):
            counts = [sum_ + one for sum_, one in zip(counts, own, strict=True)]
            advance()
    best = max(range(len(TRIED)), key=lambda index: counts[index].f1)
    return replace(config, threshold=TRIED[best]), ThresholdSource.sweep(run.tune_name, len(records))


def true_boxes(run: Run, split: str) -> list[Record]:
    """The images of a split that have ground-truth boxes."""
    return [record for record in run.limited(run.mapped_sets[split]).records if record.boxes]


def truth_of(record: Record, index: int) -> list[tuple[float, float, float, float]]:
    """The true boxes of one class."""
    return [(box.x0, box.y0, box.x1, box.y1) for box in record.boxes or () if box.class_index == index]


def image_boxes(run: Run, record: Record, settings: LocalizeSettings) -> ImageBoxes:
    """The objects on the stored maps of one image."""
    result = run.read_maps(run.kind, record)
    maps = full_maps(result, result.image_size)
    classes = result.classes.tolist()
    objects = {
        index: find_objects(score_map, result.image_size, settings, name=f"{record.id}, {run.class_names[index]}")
        for index, score_map in zip(classes, maps, strict=True)
    }
    return ImageBoxes(record, result.image_size, objects, dict(zip(classes, result.scores.tolist(), strict=True)))


class FoundBoxes(msgspec.Struct):
    """The boxes of an image in the run folder: class, corners, score."""

    size: tuple[int, int]
    boxes: list[tuple[int, tuple[int, int, int, int], float]]


@dataclass(frozen=True)
class BoxWork:
    """The boxes of an image, and the image with them."""

    run: Run
    settings: LocalizeSettings
    threaded: bool = True

    def load(self, batch: Batch) -> Record:
        return batch.records[0]

    def make(self, batch: Batch, loaded: Record) -> ImageBoxes:
        return image_boxes(self.run, loaded, self.settings)

    def save(self, batch: Batch, made: ImageBoxes, missing: Any) -> Outcome:
        image, outcome = made.record.id, Outcome()
        if OVERLAYS in missing[image]:
            write_overlay(self.run, made)
            outcome.files.append((OVERLAYS, image, self.run.folder.file(OVERLAYS, image)))
        if FOUND in missing[image]:
            boxes = [(index, tuple(map(int, box)), score) for index, box, score in scored_boxes(made)]
            write_json(self.run.folder.file(FOUND, image), {"size": made.size, "boxes": boxes})
            outcome.files.append((FOUND, image, self.run.folder.file(FOUND, image)))
        return outcome


def scored_boxes(found: ImageBoxes) -> list[tuple[int, Any, float]]:
    """Class, corners and score of each box: the class's probability times the map's height in the box."""
    return [
        (index, tuple(box), found.probabilities[index] * peak)
        for index, objects in found.objects.items()
        for box, peak in zip(objects.boxes.tolist(), objects.scores.tolist(), strict=True)
    ]


def write_overlay(run: Run, found: ImageBoxes) -> None:
    """The image with its boxes, in the colours that the masks have."""
    palette = voc_palette()
    boxes = [
        DrawnBox(box, tuple(palette[(index + 1) % 256].tolist()), f"{run.class_names[index]} {score:.2f}")
        for index, box, score in scored_boxes(found)
    ]
    drawn = box_overlay(np.ascontiguousarray(read_image(found.record.image)), boxes)
    with writing(run.folder.file(OVERLAYS, found.record.id)) as temporary:
        Image.fromarray(drawn).save(temporary, "JPEG", quality=90)


def file_name(record: Record, root: Path) -> str:
    """The image's path relative to the data folder; its whole path where it lies elsewhere."""
    return record.image.relative_to(root).as_posix() if record.image.is_relative_to(root) else str(record.image)


# -- against ground truth --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BoxResult:
    """The boxes of one split, each class of each image matched one to one with the ground truth."""

    split: str
    images: int
    counts: DetectionCounts
    threshold: float | str
    source: ThresholdSource | None
    """None where every map has a threshold of its own, chosen without ground truth."""

    @property
    def sentence(self) -> str:
        """All of it in words."""
        found = self.counts
        where = "a threshold of its own for each map" if self.source is None else f"threshold {self.threshold}"
        return (
            f"boxes: F1 {100 * found.f1:.1f}, precision {100 * found.precision:.1f}, recall {100 * found.recall:.1f} "
            f"at an intersection over union of {RIGHT} on {self.split} ({self.images} images), {where}"
            + (f", {self.source}" if self.source else "")
        )

    def to_json(self) -> dict[str, Any]:
        """The record for ``metrics.json``; figures are fractions in [0, 1]."""
        swept_here = self.source is not None and (self.source.method, self.source.split) == ("sweep", self.split)
        return {
            "split": self.split,
            "images": self.images,
            "iou": RIGHT,
            "f1": self.counts.f1,
            "precision": self.counts.precision,
            "recall": self.counts.recall,
            "found": self.counts.found,
            "truth": self.counts.truth,
            "threshold": self.threshold,
            "threshold_source": "for each map by itself, without ground truth" if not self.source else str(self.source),
            "threshold_chosen_on_this_split": swept_here,
        }


def box_results(run: Run) -> list[BoxResult]:
    """The scores of ``boxes.csv`` on every split with ground-truth boxes; empty where either is missing."""
    entry = run.record.done(NAME)
    if entry is None or not run.folder.boxes.exists():
        return []
    rows: dict[tuple[str, str], list[tuple[float, tuple[int, ...]]]] = defaultdict(list)
    for found in read_boxes(run.folder.boxes):
        rows[found.image, found.class_name].append((found.score, found.box))
    kept = entry.result["source"]
    source = None if kept is None else ThresholdSource(**kept)
    results = []
    for split in run.mapped_sets:
        records = [record for record in true_boxes(run, split) if run.has_maps(run.kind, record)]
        counts = DetectionCounts()
        for record in records:
            for index in record.classes:
                own = sorted(rows[record.id, run.class_names[index]], key=lambda row: -row[0])
                boxes = torch.tensor([box for _, box in own], dtype=torch.float64).reshape(-1, 4)
                counts += count_boxes(boxes, truth_of(record, index))
        if records:
            results.append(BoxResult(split, len(records), counts, entry.result["threshold"], source))
    return results


def artifacts(config: RunConfig) -> Iterator[Artifact]:
    yield Artifact(NAME, (f"{config.attribute.kind}/maps",), current_facts, OUTPUTS, keys)


STEPS = Steps(localize, artifacts, check_data=check_data)
