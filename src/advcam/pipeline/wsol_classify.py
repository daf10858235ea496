"""The classify stage of a localization run: a method of the WSOL benchmark, or one that is trained already."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import torch

from advcam.classify.wsol.build import load_method, method_on, save_method
from advcam.classify.wsol.method import LocalizationMethod
from advcam.classify.wsol.task import WSOLTask, check_single_class
from advcam.classify.wsol.train import described, train_method
from advcam.data.record import ImageSet
from advcam.evaluate.validation import BoxValidation, boxed
from advcam.models.classifier import build_classifier
from advcam.pipeline.classify import tell_statistics, training_sets
from advcam.pipeline.manifest import plain
from advcam.pipeline.progress import say
from advcam.pipeline.run import Run
from advcam.training.progress import FitProgress
from advcam.training.settings import numbers_depend_on

# Made with the classifier, so they go where it goes.
OUTPUTS = ("classifier", "score_maps", "maps", "cam", "flagged.csv", "metrics.json")


def classify_for_localization(run: Run) -> None:
    """Fill ``classifier`` of the run folder: the kept weights, and in ``last`` and ``best`` both that there are."""
    if run.config.classifier is not None:
        _adopt(run, Path(run.config.classifier))
        return
    tell_statistics(run.config.backbone)
    train, val = training_sets(run)
    settings = {
        "backbone": asdict(run.config.backbone),
        "wsol": numbers_depend_on(run.config.wsol),
        "box_acc": asdict(run.config.box_acc),
        "train": train.split,
        "val": None if val is None else val.split,
        "images": len(train),
        "labels": [described(train), described(val)],
    }
    with run.stage("classify", settings, OUTPUTS) as entry, FitProgress("classify") as progress:
        trained = train_method(
            run.config.backbone,
            train,
            val,
            run.config.wsol,
            run.folder.classifier,
            measure=_measure(run, val),
            device=run.config.device,
            on_event=progress,
        )
        made = {"updates": trained.result.updates, "seconds": round(trained.result.seconds, 1), "kept": trained.kept}
        entry["result"] = _result(run, made, trained.scores, val)
    say(f"classify: {entry['result']['sentence']}")


def _measure(run: Run, val: ImageSet | None) -> BoxValidation | None:
    return BoxValidation(run.config.box_acc) if val is not None and boxed(val) else None


def _adopt(run: Run, source: Path) -> None:
    """Copy a trained classifier into the run folder, so that the folder stands on its own."""
    check_single_class(run.image_set(run.splits.maps[0]))
    if source.is_dir():
        network, _ = load_method(source, run.class_names)
    else:
        backbone = replace(run.config.backbone, weights=str(source))
        tell_statistics(backbone)
        classifier = build_classifier(backbone, len(run.class_names), require_head=True).eval()
        network = method_on(classifier, replace(run.config.wsol, method="cam"))
    settings = {"classifier": str(source), "backbone": asdict(run.config.backbone)}
    before = run.manifest.stages.get("classify", {})
    same = before.get("status") == "done" and before.get("settings") == plain(settings)
    with run.stage("classify", settings, OUTPUTS) as entry:
        method = cast(LocalizationMethod, network)
        name = "acol" if method.classifier.architecture.endswith("+acol") else "cam"
        save_method(run.folder.classifier, method, name, run.config.backbone, run.class_names)
        known = before.get("result") if same else None
        entry["result"] = known or _result(run, {"updates": 0}, _measured(run, network), _val(run))
    say(f"classify: nothing to train, the classifier is {source}. {entry['result']['sentence']}")


def _val(run: Run) -> ImageSet:
    return run.limited(run.image_set(run.splits.val or run.splits.train))


def _measured(run: Run, network: torch.nn.Module) -> dict[str, float]:
    """The validation of a network from elsewhere."""
    val = _val(run)
    measure = _measure(run, val)
    task = WSOLTask(network.to(run.device).eval(), val, val, run.config.wsol, measure)
    with torch.no_grad():
        total = task.validate(0, 1)
    assert total is not None
    return task.scores(total)


def _result(run: Run, made: dict[str, Any], scores: dict[str, float], val: ImageSet | None) -> dict[str, Any]:
    """What the manifest and the report keep."""
    plain: dict[str, Any] = {"val_map": None, "per_class_ap": {}, "prevalence": {}, "untrained": []}
    if not scores or val is None:
        return made | plain | {"level": "unknown", "sentence": "The classifier was not validated."}
    top1, chance = scores["top1_cls"], 100 / len(run.class_names)
    level = "good" if top1 > 50 else "weak" if top1 > 3 * chance else "unfit"
    kept = f" The {made['kept']} weights are kept." if "kept" in made else ""
    boxes = f", MaxBoxAccV2 {scores['boxes']:.1f}" if "boxes" in scores else ""
    sentence = (
        f"The classifier's first class is right in {top1:.1f} % of {len(val)} validation images{boxes}; guessing gives "
        f"{chance:.1f} %.{kept}"
    )
    return made | plain | {"scores": scores, "level": level, "sentence": sentence}
