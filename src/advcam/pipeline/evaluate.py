"""The stage that measures a run against ground truth, where there is some."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from advcam.data.files import write_json
from advcam.evaluate import SegmentationResult, SegmentationScores, ThresholdSource, ThresholdSweep
from advcam.evaluate.result import defined
from advcam.pipeline.box_scoring import box_results
from advcam.pipeline.instance_scoring import instance_results
from advcam.pipeline.progress import say
from advcam.pipeline.run import Run
from advcam.pipeline.scoring import score_masks, sweep_split
from advcam.pipeline.thresholds import choose
from advcam.pipeline.wsol_evaluate import pxap_results, wsol_results

SCHEMA = 1


def evaluate(run: Run) -> None:
    """Write ``metrics.json``: seeds at the chosen and at the swept threshold, masks, and the curves over thresholds."""
    settings = {"sweep": asdict(run.config.sweep), "tune": run.tune_name}
    # Nothing is kept of an earlier evaluation, so no difference to it matters.
    run.manifest.stages.pop("evaluate", None)
    with run.stage("evaluate", settings, ()) as entry:
        results, curves = seed_results(run)
        results += mask_results(run) + network_results(run)
        for result in results:
            say(f"evaluate: {result}")
        boxes, wsol, pixels = box_results(run), wsol_results(run), pxap_results(run)
        for sentence in [found.sentence for found in wsol] + [found.sentence for found in boxes]:
            say(f"evaluate: {sentence}")
        for found in pixels:
            say(f"evaluate: {found['masks']}: PxAP {found['pxap']:.1f} on {found['split']} ({found['images']} images)")
        objects = instance_results(run)
        for found in objects:
            ap = "-" if found["ap"] is None else f"{100 * found['ap']:.1f}"
            say(f"evaluate: instances: AP at {found['iou']} {ap} on {found['split']} ({found['images']} images)")
        if not (results or boxes or wsol or pixels):
            say("evaluate: the data set has no ground truth, so nothing is measured")
        metrics = {
            "schema": SCHEMA,
            "classes": ["background", *run.class_names],
            "results": [result.to_json() for result in results],
            "curves": curves,
            "boxes": [found.to_json() for found in boxes],
            "wsol": [found.to_json() for found in wsol],
            "pxap": pixels,
            "instances": objects,
            "classifier": run.manifest.stages.get("classify", {}).get("result"),
        }
        write_json(run.folder.metrics, metrics)
        entry["results"] = len(results) + len(boxes) + len(wsol)


def name_of(run: Run, kind: str) -> str:
    """What one kind of maps is called in figures."""
    return run.config.attribute.method if kind == "maps" else "cam"


def kinds_of(run: Run) -> tuple[str, ...]:
    """The kinds of maps to compare: the baseline and the method, unless they are one."""
    return ("maps",) if run.config.attribute.method == "cam" else ("cam", "maps")


def seed_results(run: Run) -> tuple[list[SegmentationResult], list[dict[str, Any]]]:
    """Every split's seeds, at the threshold that is best on the tuning split and at the run's own."""
    results, curves = [], []
    for kind in kinds_of(run):
        sweeps = {split: sweep_split(run, kind, split) for split in run.mapped_sets}
        tuned = sweeps[run.tune_name]
        own = None if run.config.seed.threshold == "swept" or not any(sweeps.values()) else choose(run, kind)
        for split, found in sweeps.items():
            if found is None:
                continue
            name = f"{name_of(run, kind)} seed"
            curves.append(curve(name, split, found))
            if tuned is not None:
                source = ThresholdSource.sweep(run.tune_name, tuned.image_count)
                threshold = tuned.best_threshold
                results.append(SegmentationResult(name, split, found.at(threshold), threshold, source, run.class_names))
            if own is not None:
                at_own = sweep_at(run, kind, split, found, own.value)
                results.append(SegmentationResult(name, split, at_own, own.value, own.source(), run.class_names))
    return results, curves


def sweep_at(run: Run, kind: str, split: str, found: ThresholdSweep, threshold: float) -> SegmentationScores:
    """Scores at a threshold, which the sweep may not have tried."""
    if any(abs(tried - threshold) < 1e-9 for tried in found.thresholds):
        return found.at(threshold)
    again = sweep_split(run, kind, split, (threshold,))
    assert again is not None
    return again.best


def mask_results(run: Run) -> list[SegmentationResult]:
    """The masks of the run and, where they were made, of its baseline and of the stages between."""
    stage = run.manifest.stages.get("refine", {})
    if not stage:
        return []
    results = []
    # The baseline first, and of each kind the stages in their order.
    for masks, made in sorted(stage["settings"]["sets"].items(), key=lambda item: item[1]["maps"] != "cam"):
        if made["maps"] not in kinds_of(run):
            continue
        chosen = made["threshold"]
        threshold = None if chosen is None else chosen["value"]
        source = None if chosen is None else ThresholdSource(chosen["method"], chosen["split"], chosen["images"])
        name = f"{name_of(run, made['maps'])} {way_of(made)}"
        for split in run.mapped_sets:
            scores = score_masks(run, masks, split)
            if scores is not None:
                results.append(SegmentationResult(name, split, scores, threshold, source, run.class_names))
    return results


def way_of(made: dict[str, Any]) -> str:
    """How a set of masks was made, in a word or two.

    >>> way_of({"method": "none"}), way_of({"method": "irn", "irn_walk": {"final_crf": True}})
    ('mask', '+ irn + crf')
    """
    if made["method"] == "none":
        return "mask"
    again = any(made.get(section, {}).get("final_crf") for section in ("irn_walk", "psa"))
    return f"+ {made['method']}" + (" + crf" if again else "")


def network_results(run: Run) -> list[SegmentationResult]:
    """The segmentation network on the splits that it was measured on; empty without one."""
    if run.manifest.stages.get("segment", {}).get("status") != "done":
        return []
    # Loads what trainings need, which takes seconds.
    from advcam.pipeline import segment

    return segment.network_results(run)


def curve(masks: str, split: str, found: ThresholdSweep) -> dict[str, Any]:
    """A sweep as the report draws it."""
    names = ("miou", "precision", "recall", "noise")
    values = {name: [defined(value) for value in getattr(found, name).tolist()] for name in names}
    return {
        "masks": masks,
        "split": split,
        "images": found.image_count,
        "thresholds": list(found.thresholds),
        **values,
        "best_threshold": found.best_threshold,
        "best_miou": defined(found.best.miou),
        "best_is_at_edge": found.best_is_at_edge,
    }
