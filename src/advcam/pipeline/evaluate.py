"""The stage that measures a run against ground truth, where there is some.

Names, thresholds and methods come from the records of what was made, never from the command line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from advcam.attribute.wsol import ScoreMapFile
from advcam.data.masks import IGNORE, objects_and_ignored, read_mask, read_objects
from advcam.data.record import MaskFiles, Record
from advcam.evaluate import SegmentationResult, SegmentationScores, ThresholdSource, ThresholdSweep
from advcam.evaluate.boxes import BoxAccuracy
from advcam.evaluate.boxes_result import BoxScores, WSOLResult
from advcam.evaluate.pixels import PixelAP
from advcam.evaluate.result import defined
from advcam.evaluate.validation import true_corners
from advcam.io.files import write_json
from advcam.io.keys import key_of
from advcam.io.ledger import Line
from advcam.io.progress import say
from advcam.pipeline.config import RunConfig
from advcam.pipeline.keys import Artifact, Steps, making
from advcam.pipeline.localize import box_results
from advcam.pipeline.predictions import false_areas, network_results
from advcam.pipeline.run import Run
from advcam.pipeline.scoring import ChosenThreshold, choose, mask_contents, score_records, scored_records, sweep_split
from advcam.segment.data import check_readable

NAME = "metrics"
SCHEMA = 2


def measured(run: Run) -> dict[str, Any]:
    """What the figures were measured on: the state of every artifact that has any, of the images that there are."""
    found: dict[str, Any] = {}
    ids = {record.id for record in run.records}
    for name, entry in run.record.artifacts.items():
        if name.split("/")[-1] in ("maps", "masks", "crf") or name in ("boxes", "instances", "segmentation"):
            lines = run.ledger(name).lines.values()
            state = key_of(sorted((line.id, line.key) for line in lines if line.id in ids))
            found[name] = [entry.key, state, entry.content]
    found["classifier"] = getattr(run.record.artifacts.get("classifier"), "content", None)
    return found


def evaluate(run: Run) -> None:
    """Write ``metrics.json``: seeds at the chosen and at the swept threshold, masks, and the curves over thresholds."""
    facts = {"sweep": asdict(run.config.sweep), "tune": run.tune_name, "measured": measured(run)}
    with making(run, NAME, facts, ["metrics.json"], always=True) as made:
        results, curves = seed_results(run)
        results += mask_results(run) + network_results(run)
        for result in results:
            say(f"evaluate: {result}")
        boxes, wsol, pixels = box_results(run), wsol_results(run), pxap_results(run)
        for sentence in [found.sentence for found in wsol] + [found.sentence for found in boxes]:
            say(f"evaluate: {sentence}")
        for found in pixels:
            say(f"evaluate: {found['masks']}: PxAP {found['pxap']:.1f} on {found['split']} ({found['images']} images)")
        objects, areas = instance_results(run), false_areas(run)
        for found in areas:
            say(
                f"evaluate: {found['masks']}: {100 * found['false_area']:.2f} % of an image without a class labelled "
                f"with it on {found['split']} ({found['images']} images)"
            )
        for found in objects:
            ap = "-" if found["ap"] is None else f"{100 * found['ap']:.1f}"
            say(f"evaluate: instances: AP at {found['iou']} {ap} on {found['split']} ({found['images']} images)")
        if not (results or boxes or wsol or pixels or areas):
            say("evaluate: the data set has no ground truth, so nothing is measured")
        for notice in run.notices:
            say(f"evaluate: {notice.level}: {notice.title}. {notice.text}")
        classifier = run.record.artifacts.get("classifier")
        trained = classifier.result if classifier else {}
        metrics = {
            "schema": SCHEMA,
            "classes": ["background", *run.class_names],
            "results": [result.to_json() for result in results],
            "curves": curves,
            "boxes": [found.to_json() for found in boxes],
            "wsol": [found.to_json() for found in wsol],
            "pxap": pixels,
            "instances": objects,
            "false_area": areas,
            # How long it took is no figure: the same run has the same bytes.
            "classifier": {key: value for key, value in trained.items() if key != "seconds"} or None,
            "limit": run.config.limit,
            "measured": facts["measured"],
            "notices": [notice.title for notice in run.notices],
        }
        write_json(run.folder.metrics, metrics)
        made.entry.result = {"results": len(results) + len(boxes) + len(wsol), "limit": run.config.limit}


def kinds_made(run: Run) -> tuple[str, ...]:
    """The kinds of maps that are there, the baseline first and the run's own last."""
    there = [name.removesuffix("/maps") for name in run.record.artifacts if name.endswith("/maps")]
    return tuple(sorted(there, key=lambda kind: (kind != run.baseline, kind == run.kind)))


def seed_results(run: Run) -> tuple[list[SegmentationResult], list[dict[str, Any]]]:
    """Every split's seeds, at the threshold that is best on the tuning split and at the run's own."""
    results, curves = [], []
    for kind in kinds_made(run):
        sweeps = {split: sweep_split(run, kind, split) for split in run.mapped_sets}
        tuned = sweeps[run.tune_name]
        own = own_threshold(run, kind) if any(sweeps.values()) else None
        for split, found in sweeps.items():
            if found is None:
                continue
            name = f"{kind} seed"
            curves.append(curve(name, split, found))
            if tuned is not None:
                source = ThresholdSource.sweep(run.tune_name, tuned.image_count)
                threshold = tuned.best_threshold
                results.append(SegmentationResult(name, split, found.at(threshold), threshold, source, run.class_names))
            if own is not None:
                at_own = sweep_at(run, kind, split, found, own.value)
                results.append(SegmentationResult(name, split, at_own, own.value, own.source(), run.class_names))
    return results, curves


def own_threshold(run: Run, kind: str) -> ChosenThreshold | None:
    """The run's own threshold for seeds: what its masks were made with, or what ``seed`` asks for; None if swept."""
    for step in ("crf", "masks"):
        entry = run.record.done(f"{kind}/{step}")
        if entry is not None and entry.result["method"] in ("crf", "none"):
            made = ChosenThreshold.of(entry.result["threshold"])
            if made is not None:
                return None if made.method == "sweep" else made
    return None if run.config.seed.threshold == "swept" else choose(run, kind)


def sweep_at(run: Run, kind: str, split: str, found: ThresholdSweep, threshold: float) -> SegmentationScores:
    """Scores at a threshold, which the sweep may not have tried."""
    if any(abs(tried - threshold) < 1e-9 for tried in found.thresholds):
        return found.at(threshold)
    again = sweep_split(run, kind, split, (threshold,))
    assert again is not None
    return again.best


def mask_results(run: Run) -> list[SegmentationResult]:
    """The masks of the run and, where they were made, of its baseline and of the stages between."""
    results = []
    for kind in kinds_made(run):
        # The stages in their order.
        for step in ("crf", "masks"):
            entry, ledger = run.record.artifacts.get(f"{kind}/{step}"), run.ledger(f"{kind}/{step}")
            if entry is None or not entry.result:
                continue
            chosen = ChosenThreshold.of(entry.result["threshold"])
            threshold, source = (None, None) if chosen is None else (chosen.value, chosen.source())
            for split, images in run.mapped_sets.items():
                there = [
                    (record, run.folder.file(f"{kind}/{step}", record.id))
                    for record in run.limited(images).records
                    if record.mask is not None and ledger.key(record.id) is not None
                ]
                scores = score_records(run, [pair for pair in there if pair[1].exists()])
                if scores is not None:
                    name = f"{kind} {way_of(entry.result)}"
                    results.append(SegmentationResult(name, split, scores, threshold, source, run.class_names))
    return results


def way_of(made: dict[str, Any]) -> str:
    """How a set of masks was made, in a word or two.

    >>> way_of({"method": "none"}), way_of({"method": "irn", "final_crf": True})
    ('mask', '+ irn + crf')
    """
    if made["method"] == "none":
        return "mask"
    if made.get("chain"):
        return "+ " + " + ".join(made["chain"])
    return f"+ {made['method']}" + (" + crf" if made.get("final_crf") else "")


def curve(masks: str, split: str, found: ThresholdSweep) -> dict[str, Any]:
    """A sweep as the report draws it."""
    return {"masks": masks, "split": split, "best_miou": defined(found.best.miou)} | found.to_json()


def instance_results(run: Run) -> list[dict[str, Any]]:
    """VOC's average precision of the instance masks on every split with ground-truth objects; empty without either."""
    if run.record.done("instances") is None:
        return []
    from advcam.evaluate.instances import InstanceMatcher
    from advcam.refine.irn.objects import FoundObjects

    results, ledger = [], run.ledger("instances")
    for split, images in run.mapped_sets.items():
        matcher = InstanceMatcher(len(run.class_names))
        for record in run.limited(images).records:
            if record.objects is None or record.mask is None or ledger.key(record.id) is None:
                continue
            found = FoundObjects.load(run.folder.file("instances", record.id))
            size = (found.numbers.shape[0], found.numbers.shape[1])
            classes, masks = read_objects(record, size, len(run.class_names))
            matcher.add(*map(torch.from_numpy, (found.scores, found.classes, found.masks, classes, masks)))
        if matcher.image_count:
            results += [
                {
                    "split": split,
                    "images": found.image_count,
                    "iou": found.iou,
                    "ap": defined(found.mean),
                    "class_ap": dict(zip(run.class_names, map(defined, found.per_class), strict=True)),
                }
                for found in matcher.compute()
            ]
    return results


# -- localization runs -----------------------------------------------------------------------------------------------


def scored(run: Run, split: str, boxes: bool = True) -> list[tuple[Record, ScoreMapFile]]:
    """The images of a split with score maps and boxes of their own class; or with masks instead of boxes."""
    if run.config.wsol.method == "none":
        return []
    ledger, found = run.ledger(f"{run.kind}/scores"), []
    for record in run.limited(run.mapped_sets[split]).records:
        truth = true_corners(record) if boxes else record.mask is not None and not record.boxes
        if truth and ledger.key(record.id) is not None and run.folder.file(f"{run.kind}/scores", record.id).exists():
            found.append((record, run.read_scores(run.kind, record)))
    return found


def wsol_results(run: Run) -> list[WSOLResult]:
    """Both kinds of maps on every split with boxes; empty where this is no localization run."""
    results = []
    files = {split: scored(run, split) for split in run.mapped_sets}
    for kind in run.kinds:
        scores = {split: box_scores(run, kind, found) for split, found in files.items() if found}
        tuned_on = run.tune_name if run.tune_name in scores else next(iter(scores), "")
        for split, found in scores.items():
            results.append(WSOLResult(kind, split, found, tuned_on, scores[tuned_on].thresholds))
    return results


def box_scores(run: Run, kind: str, files: list[tuple[Record, ScoreMapFile]]) -> BoxScores:
    """Every figure of the benchmark for one kind of maps."""
    accuracy = BoxAccuracy(run.config.box_acc)
    for record, file in files:
        right = file.predicted == file.label
        accuracy.update(file.of(kind), true_corners(record), file.image_size, right, name=str(record.image))
    return accuracy.compute()


def pxap_results(run: Run) -> list[dict[str, Any]]:
    """PxAP of both kinds of maps on every split whose images have masks and no boxes, for ``metrics.json``."""
    found = []
    files = {split: scored(run, split, boxes=False) for split in run.mapped_sets}
    for kind in run.kinds:
        for split, own in files.items():
            if own:
                accumulator = PixelAP(run.config.box_acc.maps)
                for score_map, truth, name in pixel_truth(run, kind, own):
                    accumulator.update(score_map, *truth, name=name)
                found.append({"masks": kind, "split": split, "images": len(own), "pxap": accumulator.compute().pxap})
    return found


def pixel_truth(
    run: Run, kind: str, files: list[tuple[Record, ScoreMapFile]]
) -> Iterator[tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor], str]]:
    """Score map, object and what does not count, and the image's file."""
    size = run.config.box_acc.maps.size
    for record, file in files:
        if isinstance(record.mask, MaskFiles):
            # Each at its own size, so each is brought to the map's by itself.
            foreground, ignored = objects_and_ignored(record.mask, size, size)
        else:
            mask = read_mask(record, file.image_size, len(run.class_names))
            foreground, ignored = mask == file.label + 1, mask == IGNORE
        yield file.of(kind), (torch.from_numpy(foreground), torch.from_numpy(ignored)), str(record.image)


def artifacts(config: RunConfig) -> Iterator[Artifact]:
    yield Artifact(NAME, (), None, ("metrics.json",))


def check_data(run: Run) -> None:
    """The true masks that masks are held against can be read, and hold no value that is no class.

    Each file is looked at once, and again when it has changed; masks that are drawn from polygons hold what they say.
    """
    if run.config.wsol.method != "none":
        return
    scored = {record.id: record for split in run.mapped_sets for record in scored_records(run, split)}
    files = [record for record in scored.values() if isinstance(record.mask, Path)]
    keys = {image: key_of([content, len(run.class_names)]) for image, content in mask_contents(run, files).items()}
    ledger = run.ledger("truth")
    new = [image for image, key in keys.items() if ledger.key(image) != key]
    check_readable([scored[image] for image in new], len(run.class_names), skip_bad=run.config.skip_bad)
    ledger.note(Line(image, keys[image]) for image in new)


STEPS = Steps(evaluate, artifacts, check_data=check_data)
