"""The stage that trains the classifier of a run, or takes one that is trained already."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from advcam.classify.measure import measure_classifier
from advcam.classify.quality import ClassifierJudgement
from advcam.classify.train import TrainingResult, train_classifier
from advcam.data.ids import fraction
from advcam.data.record import ImageSet
from advcam.errors import RunError
from advcam.models.checkpoint import load_classifier, save_classifier
from advcam.models.classifier import Classifier, build_classifier
from advcam.models.settings import BackboneSettings
from advcam.models.weights import is_weight_file, read_weights
from advcam.pipeline.progress import say
from advcam.pipeline.run import Run
from advcam.training.progress import FitProgress
from advcam.training.settings import numbers_depend_on

# With fewer images none is held out for validation: every one is needed, and the figure would mean little.
MIN_HOLDOUT = 8


def classify(run: Run) -> None:
    """Fill ``classifier`` of the run folder, and say whether its maps can mean anything."""
    if run.config.wsol.method != "none":
        from advcam.pipeline.wsol_classify import classify_for_localization

        classify_for_localization(run)
        return
    if run.config.classifier is not None:
        _adopt(run, Path(run.config.classifier))
        return
    tell_statistics(run.config.backbone)
    train, val = training_sets(run)
    settings = {
        "backbone": asdict(run.config.backbone),
        "classify": numbers_depend_on(run.config.classify),
        "train": train.split,
        "val": None if val is None else val.split,
        "images": len(train),
    }
    with run.stage("classify", settings, ("classifier", *_MAPS)) as entry, FitProgress("classify") as progress:
        result = train_classifier(
            run.config.backbone,
            train,
            val,
            run.config.classify,
            run.folder.classifier,
            device=run.config.device,
            on_event=progress,
        )
        entry["result"] = summary(result)
        if val is not None and run.config.classify.keep != "last":
            # The figure is then the highest of several on the images that it is measured on.
            count = len(result.fit.validations)
            entry["result"]["sentence"] += f" The weights are those of the best of {count} validations on these images."
    say(f"classify: {entry['result']['sentence']}")


# Made with the classifier, so they go where it goes.
_MAPS = ("maps", "cam", "flagged.csv", "metrics.json")


def tell_statistics(backbone: BackboneSettings) -> None:
    """Say which input statistics are assumed where a weights file names none: wrong ones spoil maps in silence."""
    weights = backbone.weights
    if weights is None or backbone.mean is not None or not is_weight_file(weights) or read_weights(weights).mean:
        return
    say(
        f"classify: {weights} names no mean and std of its input, so those of the architecture's own weights are used; "
        "if it was trained with others, give --backbone.mean and --backbone.std"
    )


def training_sets(run: Run) -> tuple[ImageSet, ImageSet | None]:
    """Images to train on and to validate on; without a list for validation a part of the images is held out."""
    train = run.limited(run.image_set(run.splits.train))
    if run.splits.val is not None:
        return train, run.limited(run.image_set(run.splits.val))
    held = {record.id for record in train.records if fraction(record.id) < run.config.splits.holdout}
    if len(held) < MIN_HOLDOUT:
        return train, None
    rest = replace(train, records=tuple(record for record in train.records if record.id not in held))
    return rest, replace(train.keep(held), split="held out")


def _adopt(run: Run, source: Path) -> None:
    """Copy a trained classifier into the run folder, so that the folder stands on its own."""
    if source.is_dir():
        classifier, _ = load_classifier(source, run.class_names)
    else:
        backbone = replace(run.config.backbone, weights=str(source))
        tell_statistics(backbone)
        classifier = build_classifier(backbone, len(run.class_names), require_head=True)
    settings = {"classifier": str(source), "backbone": asdict(run.config.backbone)}
    done = run.manifest.stages.get("classify", {}).get("status") == "done"
    known = run.manifest.stages.get("classify", {}).get("result")
    with run.stage("classify", settings, ("classifier", *_MAPS)) as entry:
        if done and known and (run.folder.classifier / "config.json").exists():
            entry["result"] = known
        else:
            save_classifier(run.folder.classifier, classifier, run.config.backbone, run.class_names)
            entry["result"] = _measured(run, classifier)
    say(f"classify: nothing to train, the classifier is {source}. {entry['result']['sentence']}")


def _measured(run: Run, classifier: Classifier) -> dict[str, Any]:
    """How well a classifier from elsewhere knows the validation images, or all images where there are none."""
    images = run.limited(run.image_set(run.splits.val or run.splits.train))
    measured = measure_classifier(classifier, images, run.config.classify, run.device)
    return {"updates": 0, "images": len(images), "untrained": []} | figures(
        measured.val_map, measured.per_class_ap, measured.prevalence, measured.judgement
    )


def run_classifier(run: Run) -> Classifier:
    """The trained classifier of the run folder, for these classes.

    Raises:
        RunError: its training has not finished.
        ModelError: it knows other classes.
    """
    stage = run.manifest.stages.get("classify", {})
    if stage.get("status") != "done":
        raise RunError(f"{run.folder.root} has no trained classifier yet: run `advcam classify` with the same --out")
    return load_classifier(run.folder.classifier, run.class_names)[0]


def summary(result: TrainingResult) -> dict[str, Any]:
    """What the manifest and the report keep of a training."""
    made = {"updates": result.fit.updates, "seconds": round(result.fit.seconds, 1), "epoch": result.epoch}
    known = figures(result.val_map, result.per_class_ap, result.prevalence, result.judgement)
    return made | known | {"untrained": list(result.untrained)}


def figures(
    val_map: float | None, per_class_ap: dict[str, float], shares: dict[str, float], judgement: ClassifierJudgement
) -> dict[str, Any]:
    """Validation figures and the judgement, as JSON has them."""
    return {
        "val_map": val_map,
        "per_class_ap": {name: None if math.isnan(value) else value for name, value in per_class_ap.items()},
        "prevalence": shares,
        "level": judgement.level,
        "sentence": judgement.sentence,
    }
