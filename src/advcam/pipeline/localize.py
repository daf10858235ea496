"""The stage that turns localization maps into boxes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from advcam.attribute.result import LocalizationMaps
from advcam.data.files import write_json, write_text, writing
from advcam.data.images import read_image
from advcam.data.masks import voc_palette
from advcam.data.record import Record
from advcam.errors import DataError, RunError
from advcam.evaluate.detections import DetectionCounts, count_boxes
from advcam.evaluate.result import ThresholdSource
from advcam.localize.detection import Detection, boxes_table, coco_boxes
from advcam.localize.objects import Objects, find_objects, objects_above
from advcam.localize.protocol import protocol_map
from advcam.localize.settings import LocalizeSettings
from advcam.pipeline.progress import progress, say
from advcam.pipeline.refiner import full_maps
from advcam.pipeline.run import Run
from advcam.pipeline.threads import in_threads
from advcam.report.box_overlays import DrawnBox, box_overlay

OUTPUTS = ("boxes.csv", "boxes.json", "box_overlays", "metrics.json")
# What "swept" tries.
TRIED = tuple(round(0.05 * step, 2) for step in range(1, 20))


@dataclass(frozen=True)
class ImageBoxes:
    """The objects of one image, by class."""

    record: Record
    size: tuple[int, int]
    objects: dict[int, Objects]
    probabilities: dict[int, float]


def localize(run: Run) -> None:
    """Write ``boxes.csv``, ``boxes.json`` in COCO's form and the images with their boxes, ``box_overlays``."""
    config = run.config.localize
    stage = run.manifest.stages.get("attribute", {})
    if stage.get("status") != "done":
        raise RunError(f"{run.folder.root} has no whole set of maps yet: run `advcam attribute` with the same --out")
    chosen, source = choose(run)
    asked = {name: value for name, value in asdict(config).items() if name != "in_run"}
    settings = {**asked, "chosen": chosen.threshold, "maps": stage["settings"]}
    with run.stage("localize", settings, OUTPUTS) as entry:
        records = [record for record in run.wanted if run.folder.maps(record.id).exists()]
        if len(records) < len(run.wanted):
            say(f"localize: {len(run.wanted) - len(records)} images have no maps yet and get no boxes")
        roots = {record.id: images.root for images in run.mapped_sets.values() for record in images.records}
        detections: list[Detection] = []
        images = []

        def work(record: Record) -> ImageBoxes:
            found = image_boxes(run, record, chosen)
            if config.overlays:
                write_overlay(run, found)
            return found

        with progress("localize", len(records)) as advance:
            for found in in_threads(work, records, torch.get_num_threads()):
                detections += detections_of(found, run.class_names)
                images.append((found.record.id, file_name(found.record, roots[found.record.id]), found.size))
                advance()
        write_text(run.folder.boxes, boxes_table(detections))
        write_json(run.folder.boxes.with_suffix(".json"), coco_boxes(images, run.class_names, detections))
        entry |= {"images": len(records), "boxes": len(detections), "source": source and asdict(source)}
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
    records = [record for record in true_boxes(run, run.tune_name) if run.folder.maps(record.id).exists()]
    if not records:
        raise DataError(
            f"localize.threshold is swept, but {run.config.data} has no boxes for {run.tune_name}: "
            "take localize.threshold auto, or a number"
        )
    counts = [DetectionCounts()] * len(TRIED)

    def work(record: Record) -> list[DetectionCounts]:
        result = LocalizationMaps.load(run.folder.maps(record.id))
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
    result = LocalizationMaps.load(run.folder.maps(record.id))
    maps = full_maps(result, result.image_size)
    classes = result.classes.tolist()
    width_height = result.image_size[::-1]
    objects = {
        index: find_objects(score_map, width_height, settings, name=f"{record.id}, {run.class_names[index]}")
        for index, score_map in zip(classes, maps, strict=True)
    }
    return ImageBoxes(record, result.image_size, objects, dict(zip(classes, result.scores.tolist(), strict=True)))


def detections_of(found: ImageBoxes, class_names: tuple[str, ...]) -> list[Detection]:
    """The boxes of an image; the score is the class's probability times the map's height in the box."""
    return [
        Detection(found.record.id, class_names[index], found.probabilities[index] * peak, tuple(box))
        for index, objects in found.objects.items()
        for box, peak in zip(objects.boxes.tolist(), objects.scores.tolist(), strict=True)
    ]


def write_overlay(run: Run, found: ImageBoxes) -> None:
    """The image with its boxes, in the colours that the masks have."""
    palette = voc_palette()
    boxes = [
        DrawnBox(
            tuple(box),
            tuple(palette[(index + 1) % 256].tolist()),
            f"{run.class_names[index]} {found.probabilities[index] * peak:.2f}",
        )
        for index, objects in found.objects.items()
        for box, peak in zip(objects.boxes.tolist(), objects.scores.tolist(), strict=True)
    ]
    drawn = box_overlay(np.ascontiguousarray(read_image(found.record.image)), boxes)
    with writing(run.folder.box_overlay(found.record.id)) as temporary:
        Image.fromarray(drawn).save(temporary, "JPEG", quality=90)


def file_name(record: Record, root: Path) -> str:
    """The image's path relative to the data folder; its whole path where it lies elsewhere."""
    return record.image.relative_to(root).as_posix() if record.image.is_relative_to(root) else str(record.image)
