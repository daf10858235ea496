"""A run folder, or a folder of predictions, as a set that can be exported and reviewed. Nothing in it is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from jaxtyping import UInt8

from advcam.attribute.result import LocalizationMaps
from advcam.attribute.settings import kind_of
from advcam.data import open_dataset, splits
from advcam.data.images import image_size
from advcam.data.listing import list_images
from advcam.data.masks import read_mask
from advcam.data.record import Record
from advcam.errors import DataError, RunError, SettingsError
from advcam.export.corrected import Corrected
from advcam.export.item import Annotated, Item, Shape, What, parts_of, shapes_of
from advcam.io.files import found_from, read_json, read_table
from advcam.io.yaml import read_yaml
from advcam.localize.detection import read_boxes
from advcam.refine.irn.objects import FoundObjects

RUN_FILE, PREDICTIONS_FILE, REVIEW = "run.yaml", "predict.json", "review.csv"
MASKS, MAPS = "masks", "maps"


@dataclass(frozen=True)
class RunView:
    """Where the pictures, maps and masks of a run are.

    Args:
        root: the run folder.
        class_names: without the background.
        images: the picture of every image, by id, in order.
        labels: the 0-based classes of every image.
        own: the folder of the method's maps and masks, in ``root``.
        baseline: that of plain class activation maps; None where there is none.
        threshold: the background threshold that the seeds were made with, where it is known.
    """

    root: Path
    class_names: tuple[str, ...]
    images: Mapping[str, Path]
    labels: Mapping[str, tuple[int, ...]]
    own: str = "advcam"
    baseline: str | None = "cam"
    threshold: float | None = None

    def mask_file(self, image_id: str, kind: str | None = None) -> Path:
        return self.root / (self.own if kind is None else kind) / MASKS / f"{image_id}.png"

    def mask(self, image_id: str, kind: str | None = None) -> UInt8[np.ndarray, "H W"] | None:
        """The mask of an image as the run made it; None where there is none."""
        path = self.mask_file(image_id, kind)
        return self.read(image_id, path) if path.is_file() else None

    @property
    def corrected(self) -> Corrected:
        return Corrected(self.root)

    def best_mask(self, image_id: str) -> UInt8[np.ndarray, "H W"] | None:
        """The corrected mask where there is one, else the run's."""
        path = self.corrected.mask(image_id)
        return self.read(image_id, path) if path.is_file() else self.mask(image_id)

    def read(self, image_id: str, path: Path) -> UInt8[np.ndarray, "H W"]:
        return read_mask(Record(image_id, self.images[image_id], (), path), num_classes=len(self.class_names))

    def maps(self, image_id: str, kind: str | None = None) -> LocalizationMaps | None:
        """The maps of an image; None where there are none."""
        path = self.root / (self.own if kind is None else kind) / MAPS / f"{image_id}.npz"
        if not path.is_file():
            return None
        return LocalizationMaps.load(path, image_size(self.images[image_id]), len(self.class_names))

    def with_masks(self) -> tuple[str, ...]:
        """The images that have a mask, in order."""
        return tuple(image_id for image_id in self.images if self.mask_file(image_id).is_file())

    def doubts(self) -> dict[str, float]:
        """The doubt of each image in the queue: that of its most doubtful class."""
        path, found = self.root / REVIEW, dict[str, float]()
        try:
            for row in read_table(path, ("image", "doubt")) if path.is_file() else ():
                found[row["image"]] = max(found.get(row["image"], 0.0), float(row["doubt"]))
        except (OSError, ValueError) as error:
            raise RunError(f"{path} is not a whole table ({error}): restore it, or remove it") from error
        return found


def open_view(run: str | Path, images: str | Path | None = None) -> RunView:
    """The run in a folder, or the predictions in it.

    Args:
        run: a run folder, or a folder that ``advcam predict`` wrote.
        images: the pictures that predictions are of; a run knows its own.

    Raises:
        RunError: the folder is neither, or its record is damaged.
        DataError: the data set is gone.
        SettingsError: predictions without ``images``.
    """
    root = Path(run)
    if (root / RUN_FILE).is_file():
        return _of_run(root)
    if (root / PREDICTIONS_FILE).is_file():
        if images is None:
            raise SettingsError(f"{root} holds predictions: name the folder of their pictures with --images")
        return _of_predictions(root, Path(images))
    raise RunError(f"{root} is neither a run folder nor a folder of predictions: correct --out")


class _Method(msgspec.Struct):
    method: str
    map: str = "cam"


class _Splits(msgspec.Struct):
    maps: tuple[str, ...]


class _Settings(msgspec.Struct):
    attribute: _Method
    splits: _Splits
    data: str | None
    labels: str | None = None
    classes: str | None = None


class _Made(msgspec.Struct):
    result: dict[str, Any] = {}


class _Content(msgspec.Struct):
    """Of ``run.yaml``, what is read here."""

    settings: _Settings
    artifacts: dict[str, _Made]
    place: str = ""


class _Predictions(msgspec.Struct):
    classes: tuple[str, ...]


def _of_run(root: Path) -> RunView:
    content = read_yaml(root / RUN_FILE, _Content, "restore it from a copy")
    settings, made = content.settings, content.artifacts
    named = (settings.data, settings.labels, settings.classes)
    data, table, classes = (name and found_from(content.place, name) for name in named)
    plain = settings.attribute.map
    own = kind_of(settings.attribute.method, plain)
    if data is None:
        raise RunError(f"{root} names no data set: run `advcam run --data FOLDER --out {root}` first")
    names = settings.splits.maps or splits(data, labels=table) or (None,)
    sets = [open_dataset(data, name, labels=table, classes=classes, skip_bad=True) for name in names]
    records = {record.id: record for images in sets for record in images.records}
    masks = made.get(f"{own}/{MASKS}")
    threshold = masks.result.get("threshold") if masks else None
    value = threshold.get("value") if isinstance(threshold, dict) else None
    index = {name: number for number, name in enumerate(sets[0].class_names)}
    labels = {image_id: record.classes for image_id, record in records.items()}
    for image_id, names_of in Corrected(root).labels().items():
        labels[image_id] = tuple(sorted(index[name] for name in names_of if name in index))
    return RunView(
        root=root,
        class_names=sets[0].class_names,
        images={image_id: record.image for image_id, record in records.items()},
        labels=labels,
        own=own,
        baseline=plain if own != plain and (root / plain / MAPS).is_dir() else None,
        threshold=value if isinstance(value, float) else None,
    )


def _of_predictions(root: Path, images: Path) -> RunView:
    names = read_json(root / PREDICTIONS_FILE, _Predictions, "predict again").classes
    files = {image_id: images / own[0] for image_id, own in list_images(images).ids.items()}
    return RunView(root, names, files, {}, own="", baseline=None)


def annotated(view: RunView, what: What = "masks") -> Annotated:
    """Masks, objects or boxes of a run as a set to be written; corrected masks take the place of the run's.

    Predictions have no objects of their own: theirs are the connected parts of each class.

    Raises:
        RunError: the run has none of them.
    """
    doubts, predicted = view.doubts(), not view.own
    found = view.with_masks()
    if what == "boxes" and not predicted:
        found, boxes = tuple(view.images), _boxes(view)
    elif what == "instances" and not predicted:
        found = tuple(image_id for image_id in view.images if _objects_file(view, image_id).is_file())
    if not found:
        verb = "predict" if predicted else "refine" if what == "masks" else "instances"
        raise RunError(f"{view.root} has no {what} of its images: run `advcam {verb}` with the same --out first")

    def load(image_id: str) -> Item:
        file, classes = view.images[image_id], view.labels.get(image_id, ())
        if what == "boxes" and not predicted:
            return Item(image_id, file, image_size(file), boxes.get(image_id, ()), classes, doubts.get(image_id))
        labels = view.best_mask(image_id)
        if labels is None:
            return Item(image_id, file, image_size(file), _objects(view, image_id), classes, doubts.get(image_id))
        if what == "masks":
            maps = view.maps(image_id) if view.own else None
            scores = {} if maps is None else dict(zip(maps.classes.tolist(), maps.scores.tolist(), strict=True))
            shapes = shapes_of(labels, scores)
        else:
            shapes = parts_of(labels) if predicted else _objects(view, image_id)
        if what == "boxes":
            shapes = tuple(Shape(s.class_index, box=s.corners) for s in shapes)
        ignored = labels == 255
        kept = ignored if ignored.any() else None
        return Item(image_id, file, labels.shape, shapes, classes, doubts.get(image_id), kept)

    return Annotated(view.class_names, found, load, what)


def _boxes(view: RunView) -> dict[str, tuple[Shape, ...]]:
    by_image: dict[str, tuple[Shape, ...]] = {}
    index = {name: number for number, name in enumerate(view.class_names)}
    for box in read_boxes(view.root / "boxes.csv"):
        if box.class_name not in index:
            raise DataError(
                f"{view.root / 'boxes.csv'} names the class {box.class_name!r}, which the run does not have"
            )
        x0, y0, x1, y1 = map(float, box.box)
        own = Shape(index[box.class_name], None, (x0, y0, x1, y1), box.score)
        by_image[box.image] = (*by_image.get(box.image, ()), own)
    return by_image


def _objects_file(view: RunView, image_id: str) -> Path:
    return view.root / "instances" / f"{image_id}.npz"


def _objects(view: RunView, image_id: str) -> tuple[Shape, ...]:
    """The objects of an image but those too small to count. Of a corrected mask: of each object what the correction
    left of it, and what no object covers, part by part."""
    objects = FoundObjects.load(_objects_file(view, image_id))
    triples = zip(objects.classes, objects.masks, objects.scores, strict=True)
    found = [Shape(int(index), mask, None, float(score)) for index, mask, score in triples if mask.any() and score > 0]
    if not view.corrected.has(image_id):
        return tuple(found)
    left = view.read(image_id, view.corrected.mask(image_id))
    cut = [replace(shape, mask=shape.mask & (left == shape.class_index + 1)) for shape in found]
    kept = [shape for shape in cut if shape.mask is not None and shape.mask.any()]
    for shape in kept:
        left[shape.mask] = 0
    return (*kept, *parts_of(left))
