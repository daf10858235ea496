"""The labels that a trained segmentation network gives to images: those that it is measured on, by split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from advcam.data.images import read_image
from advcam.data.masks import write_mask
from advcam.data.record import ImageSet, Record
from advcam.errors import DataError
from advcam.evaluate import SegmentationResult, WeightsSource
from advcam.evaluate.false_area import FalseArea
from advcam.io.keys import key_of
from advcam.pipeline.classify import training_sets
from advcam.pipeline.parts import Batch, Outcome, Plan, Wanted, plan, sized
from advcam.pipeline.run import Run
from advcam.pipeline.scoring import read_prediction, score_records
from advcam.pipeline.through import work_through
from advcam.segment.inference import Segmenter
from advcam.segment.settings import InferenceSettings

NAME = "segmentation"
# Where masks to learn from are looked for: in the run.
RUN_MASKS = "run"
# CCT's scales at test time (its program).
SEVERAL = InferenceSettings(scales=(0.5, 0.75, 1.0, 1.25, 1.5), flip=True)
# Pixels of all pictures of a batch together, for up to so many labels of each pixel.
CPU_BATCH_PIXELS, GPU_BATCH_PIXELS, BATCH_LABELS = 2**19, 2**23, 21


@dataclass(frozen=True)
class SplitsOfNetwork:
    """The images that a network is trained on; by split those that it labels, and of them those with ground truth."""

    train: ImageSet
    scored: dict[str, ImageSet]
    looked_at: dict[str, ImageSet]


def splits_of(run: Run) -> SplitsOfNetwork:
    """The splits that the settings name, or those that suit the run: then no image of a scored one is trained on."""
    config = run.config.segment
    has_lists = run.splits.train is not None
    names = config.score or ((run.splits.val,) if run.splits.val is not None else ())
    scored = {name: run.limited(run.image_set(name)) for name in names}
    if not has_lists and not scored:
        held = training_sets(run)[1]
        scored = {} if held is None else {str(held.split): held}
    looked_at = scored
    found = {
        name: replace(images, records=tuple(record for record in images.records if record.mask is not None))
        for name, images in looked_at.items()
    }
    missing = [name for name in config.score if not len(found[name])]
    if missing:
        raise DataError(f"segment.score names {missing[0]}, but no image of it has ground truth: leave it out")
    scored = {name: images for name, images in found.items() if len(images)}
    if config.train is not None:
        train = run.limited(run.image_set(config.train))
    elif config.masks != RUN_MASKS or run.splits.train in run.splits.maps:
        train = run.limited(run.image_set(run.splits.train)) if has_lists else training_sets(run)[0]
    else:
        measured = {record.id for images in looked_at.values() for record in images.records}
        unseen = tuple(record for record in run.wanted if record.id not in measured)
        train = replace(next(iter(run.mapped_sets.values())), records=unseen or run.wanted, split=None)
    return SplitsOfNetwork(train, scored, looked_at)


def false_areas(run: Run) -> list[dict[str, Any]]:
    """For ``metrics.json``: how much of images that lack a class the network labels with it; needs no masks."""
    entry, results = run.record.done(NAME), []
    for split, images in splits_of(run).looked_at.items() if entry is not None else ():
        assert entry is not None
        look = looks(False, False)[0]
        ledger, keys = run.ledger(f"{NAME}/{look.folder}"), prediction_keys(run, look, images.records)
        found, seen = FalseArea.none(len(run.class_names)), 0
        for record in images.records:
            path = run.folder.file(f"{NAME}/{look.folder}", record.id)
            if ledger.fresh(record.id, keys[record.id], path):
                found, seen = found.plus(read_prediction(run, record, path), record.classes), seen + 1
        if found.images.any():
            told = {"masks": entry.result["method"], "split": split, "images": seen}
            results.append(told | found.to_json(run.class_names))
    return results


@dataclass(frozen=True)
class Look:
    """One way in which the finished network looks at the scored images.

    Attributes:
        words: behind the method's name, in results.
        folder: of its label pictures, in ``segmentation``.
        settings: of the inference.
    """

    words: str
    folder: str
    settings: InferenceSettings


def looks(several: bool, crf: bool) -> list[Look]:
    """At one scale; where asked for at several; and the better of the two after the CRF."""
    found = [Look("", "predictions", InferenceSettings())]
    if several:
        found.append(Look(" at 5 scales", "predictions_scales", SEVERAL))
    if crf:
        best = found[-1]
        found.append(Look(f"{best.words} + crf", f"{best.folder}_crf", replace(best.settings, crf=True)))
    return found


def network_results(run: Run) -> list[SegmentationResult]:
    """The scores of the network's labels, as far as they are there, for each split and look."""
    entry = run.record.done(NAME)
    if entry is None:
        return []
    results = []
    method, chosen = entry.result["method"], entry.result.get("chosen")
    weights = None if chosen is None else WeightsSource(**chosen)
    known = {look.folder: look for several in (True, False) for look in looks(several, True)}
    for split, images in splits_of(run).scored.items():
        for look in known.values():
            ledger, keys = run.ledger(f"{NAME}/{look.folder}"), prediction_keys(run, look, images.records)
            there = [
                (record, run.folder.file(f"{NAME}/{look.folder}", record.id))
                for record in images.records
                if ledger.fresh(record.id, keys[record.id], run.folder.file(f"{NAME}/{look.folder}", record.id))
            ]
            scores = score_records(run, there)
            if scores is not None:
                results.append(
                    SegmentationResult(
                        method + look.words, split, scores, class_names=run.class_names, weights_source=weights
                    )
                )
    return results


def prediction_keys(run: Run, look: Look, records: Sequence[Record]) -> dict[str, str]:
    """The key of each label picture."""
    static, pictures = key_of([run.content(NAME, "segment"), asdict(look.settings)]), run.pictures(records)
    return {record.id: key_of([static, pictures[record.id]]) for record in records}


def predict_split(run: Run, split: str, images: ImageSet) -> None:
    """Write the network's labels of a split, for each look that is asked for."""
    for look in looks(run.config.segment.multi_scale, run.config.segment.crf):
        name, ready = f"{NAME}/{look.folder}", label_work(run, look)
        wanted = Wanted(name, partial(prediction_keys, run, look))
        plan, build = Plan(images.records, partial(ready.plan, run)), partial(label_work, look=look)
        work_through(run, [wanted], plan, images.records, build, f"segment: labels of {split}{look.words}", ready)


def loaded(run: Run) -> Segmenter:
    from advcam.segment.checkpoint import load

    return on_device(load(run.folder.segmentation), run.device)


def on_device(segmenter: Segmenter, device: Any) -> Segmenter:
    """The network on its device, in the layout that convolutions are fastest in."""
    segmenter.network.to(device).to(memory_format=torch.channels_last)
    segmenter.network.eval()
    return segmenter


def batches_of(
    segmenter: Segmenter, settings: InferenceSettings, pictures: Iterable[tuple[Record, tuple[int, int]]]
) -> list[Batch]:
    """Batches of one size over all pictures, whatever is there already: rounding depends on the batch."""
    on_cpu = segmenter.device.type == "cpu"
    pixels = CPU_BATCH_PIXELS if on_cpu else GPU_BATCH_PIXELS
    # What a pixel of the picture takes: the features at the largest scale, or the logits, whichever is more.
    share = max(1.0, max(settings.scales) ** 2, segmenter.num_labels / BATCH_LABELS)

    def most(size: tuple[int, int]) -> int:
        reduced = 1.0 if settings.window else min(1.0, settings.max_side / max(size))
        return max(1, int(pixels / (size[0] * size[1] * reduced**2 * share)))

    return plan(((replace(record, classes=()), size) for record, size in pictures), most)


@dataclass(frozen=True)
class LabelWork:
    """The labels of pictures by a network."""

    segmenter: Segmenter
    settings: InferenceSettings
    name: str
    """Of the artifact."""
    read: Callable[[Record], UInt8[np.ndarray, "_ _ 3"] | None]
    """The picture; None leaves it out."""
    write: Callable[[str, UInt8[np.ndarray, "_ _ 3"], UInt8[np.ndarray, "_ _"]], Path]
    """Writes an image's labels, given its id and its picture; returns the file."""
    threaded: bool = False

    def plan(self, run: Run, records: Sequence[Record]) -> list[Batch]:
        return batches_of(self.segmenter, self.settings, sized(run, records))

    def load(self, batch: Batch) -> list[tuple[str, UInt8[np.ndarray, "_ _ 3"]]]:
        pictures = ((record.id, self.read(record)) for record in batch.records)
        return [(image, picture) for image, picture in pictures if picture is not None]

    def make(self, batch: Batch, loaded: list[tuple[str, UInt8[np.ndarray, "_ _ 3"]]]) -> Any:
        found = self.segmenter.labels([picture for _, picture in loaded], self.settings) if loaded else []
        return [(*pair, labels) for pair, labels in zip(loaded, found, strict=True)]

    def save(self, batch: Batch, made: Any, missing: Mapping[str, frozenset[str]]) -> Outcome:
        return Outcome([(self.name, image, self.write(image, *rest)) for image, *rest in made if image in missing])


def label_work(run: Run, look: Look) -> LabelWork:
    """Label pictures of scored images."""
    name = f"{NAME}/{look.folder}"

    def write(image: str, _: UInt8[np.ndarray, "_ _ 3"], labels: UInt8[np.ndarray, "_ _"]) -> Path:
        path = run.folder.file(name, image)
        write_mask(path, labels)
        return path

    return LabelWork(loaded(run), look.settings, name, lambda record: read_image(record.image), write)
