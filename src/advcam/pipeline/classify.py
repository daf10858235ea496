"""The stage that trains the classifier of a run, or takes one that is trained already."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from pathlib import Path

from advcam.classify.progress import TrainingProgress
from advcam.classify.quality import ClassifierJudgement
from advcam.classify.train import TrainingResult, train_classifier
from advcam.data.record import ImageSet
from advcam.errors import RunError
from advcam.models.checkpoint import load_classifier, save_classifier
from advcam.models.classifier import Classifier, build_classifier
from advcam.pipeline.progress import say
from advcam.pipeline.run import Run

# With fewer images none is held out for validation: every one is needed, and the figure would mean little.
MIN_HOLDOUT = 8


def classify(run: Run) -> None:
    """Fill ``classifier`` of the run folder, and say whether its maps can mean anything."""
    if run.config.classifier is not None:
        _adopt(run, Path(run.config.classifier))
        return
    train, val = training_sets(run)
    settings = {
        "backbone": asdict(run.config.backbone),
        "classify": asdict(run.config.classify),
        "train": train.split,
        "val": None if val is None else val.split,
        "images": len(train),
    }
    with run.stage("classify", settings, ("classifier", *_MAPS)) as entry, TrainingProgress() as progress:
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
    say(f"classify: {result.judgement.sentence}")


# Made with the classifier, so they go where it goes.
_MAPS = ("maps", "cam", "flagged.csv")


def training_sets(run: Run) -> tuple[ImageSet, ImageSet | None]:
    """Images to train on and to validate on; without a list for validation a part of the images is held out."""
    train_name, val_name = run.split_names["train"], run.split_names["val"]
    assert not isinstance(train_name, tuple)
    assert not isinstance(val_name, tuple)
    train = run.limited(run.image_set(train_name))
    if val_name is not None:
        return train, run.limited(run.image_set(val_name))
    held = {record.id for record in train.records if _fraction(record.id) < run.config.splits.holdout}
    if len(held) < MIN_HOLDOUT:
        return train, None
    rest = replace(train, records=tuple(record for record in train.records if record.id not in held))
    return rest, replace(train.keep(held), split="held out")


def _fraction(image_id: str) -> float:
    """A number in [0, 1) that belongs to an id for good, whatever else is in the data set."""
    return int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:4], "big") / 2**32


def _adopt(run: Run, source: Path) -> None:
    """Copy a trained classifier into the run folder, so that the folder stands on its own."""
    if source.is_dir():
        classifier, _ = load_classifier(source, run.class_names)
    else:
        backbone = replace(run.config.backbone, weights=str(source))
        classifier = build_classifier(backbone, len(run.class_names), require_head=True)
    settings = {"classifier": str(source), "backbone": asdict(run.config.backbone)}
    with run.stage("classify", settings, ("classifier", *_MAPS)):
        save_classifier(run.folder.classifier, classifier, run.config.backbone, run.class_names)
    say(f"classify: nothing to train, the classifier is {source}")


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


def summary(result: TrainingResult) -> dict[str, object]:
    """What the manifest and the report keep of a training."""
    judgement: ClassifierJudgement = result.judgement
    return {
        "updates": result.updates,
        "seconds": round(result.seconds, 1),
        "epoch": result.epoch,
        "val_map": result.val_map,
        "per_class_ap": {name: None if ap != ap else ap for name, ap in result.per_class_ap.items()},
        "prevalence": result.prevalence,
        "untrained": list(result.untrained),
        "level": judgement.level,
        "sentence": judgement.sentence,
    }
