"""The stage that trains the classifier of a run, or takes one that is trained already.

A run of localization (``wsol.method``) trains by a method of its benchmark; everything else is the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advcam.data.ids import fraction
from advcam.data.images import image_size
from advcam.data.record import ImageSet, Record
from advcam.data.sets import notices_of, refuse_wrong
from advcam.errors import ModelError, RunError, SettingsError
from advcam.io.files import contents_digest
from advcam.io.progress import say, show
from advcam.models.checkpoint import load_classifier
from advcam.models.classifier import Classifier, build_classifier
from advcam.models.settings import BackboneSettings
from advcam.models.stored import CONFIG_NAME, WEIGHTS_NAME
from advcam.models.weights import file_digest, is_weight_file, read_weights
from advcam.pipeline.config import RunConfig
from advcam.pipeline.keys import Artifact, Steps, learnt_of, making
from advcam.pipeline.run import BRANCH_FILES, Run
from advcam.training.settings import numbers_depend_on

if TYPE_CHECKING:
    from advcam.classify.quality import ClassifierJudgement

NAME = "classifier"
# With fewer images none is held out for validation: every one is needed, and the figure would mean little.
MIN_HOLDOUT = 8


def facts(run: Run) -> dict[str, Any]:
    """What the classifier depends on: the one that is taken over, or all that it is trained with."""
    config = run.config
    wsol = config.wsol.method != "none"
    if config.classifier is not None:
        source = Path(config.classifier)
        found: dict[str, Any] = {"taken": taken_digest(source), "classes": list(run.class_names)}
        if source.is_file():
            found["backbone"] = backbone_facts(config.backbone) | {"weights": None}
            found |= {"wsol": numbers_depend_on(config.wsol)} if wsol else {"method": config.classify.method}
        return found
    train, val = training_sets(run)
    own = {"wsol": numbers_depend_on(config.wsol)} if wsol else {"classify": numbers_depend_on(config.classify)}
    if not wsol and config.classify.method == "sub_categories":
        features = config.sub_categories.features
        own["sub_categories"] = asdict(config.sub_categories) | {"features": features and taken_digest(Path(features))}
    seen: dict[str, list[Any]] = {}
    for role, records in (("train", train.records), ("val", val.records if val else ())):
        for image, described in run.described(records).items():
            seen.setdefault(image, []).append([role, *described])
    return {
        "backbone": backbone_facts(config.backbone),
        **own,
        "box_acc": asdict(config.box_acc) if wsol else None,
        "train": train.split,
        "val": None if val is None else val.split,
        "classes": list(train.class_names),
        "learnt": learnt_of(run, NAME, seen),
    }


def backbone_facts(backbone: BackboneSettings) -> dict[str, Any]:
    """What a network depends on that starts from a backbone."""
    return asdict(backbone) | {"weights": weights_fact(backbone.weights)}


def weights_fact(weights: str | None) -> Any:
    """What a setting of weights means for numbers: the content of a file, whatever its place, or the name of a set."""
    content = file_digest(weights)
    return weights if content is None else {"content": content}


def taken_digest(source: Path, setting: str = "classifier") -> str:
    """The content of a classifier from elsewhere, whatever its place."""
    if not source.exists():
        raise ModelError(f"--{setting} {source}: there is no such folder or file: correct the path")
    names = (WEIGHTS_NAME, CONFIG_NAME)
    files = {name: source / name for name in names} if source.is_dir() else {"": source}
    files |= {name: source / name for name in BRANCH_FILES if (source / name).is_file()}
    missing = [path for path in files.values() if not path.is_file()]
    if missing:
        raise ModelError(f"{missing[0]} is not there: name a folder that holds a classifier, or train one first")
    return contents_digest(files)


def classify(run: Run) -> None:
    """Fill ``classifier`` of the run folder, and say whether its maps can mean anything."""
    wsol = run.config.wsol.method != "none"
    if run.config.classifier is None:
        tell_statistics(run.config.backbone)
    run.for_one("the classifier's training")
    with making(run, NAME, facts(run), [NAME]) as made:
        if made.fresh:
            say(f"classify: the classifier is there already and kept. {made.entry.result['sentence']}")
            return
        if run.config.classifier is not None:
            network = adopted(run, Path(run.config.classifier), wsol)
            made.entry.result = network
        else:
            made.entry.result = trained_method(run) if wsol else trained(run)
        made.entry.result["architecture"] = load_classifier(run.folder.classifier)[0].architecture
        made.entry.content = run.network_content(run.folder.classifier)
    begun = "" if run.config.classifier is None else f"nothing to train, the classifier is {run.config.classifier}. "
    say(f"classify: {begun}{made.entry.result['sentence']}")


# No library brings weights of these.
WITHOUT_LIBRARY_WEIGHTS = ("caffe_resnet101", "res2net152_v1b", "resnet38")


def check_weights(name: str, architecture: str | None, weights: str | None) -> None:
    """Refuse weights that are nowhere; ``architecture`` is None for a file of a whole network."""
    if weights == "default" and architecture in WITHOUT_LIBRARY_WEIGHTS:
        raise SettingsError(
            f"{name} is default, but no library has weights of {architecture}: name a file with --{name}, or take "
            f"another architecture"
        )
    if weights is not None and is_weight_file(weights) and not Path(weights).exists():
        raise SettingsError(f"{name} is {weights}, but there is no such file: correct it, or put the file there")


def check(config: RunConfig) -> None:
    """The weights are there; localization and segmentation networks see RGB."""
    for name, method in (("wsol.method", config.wsol.method), ("segment.method", config.segment.method)):
        if config.backbone.in_channels != 3 and method != "none":
            raise SettingsError(
                f"backbone.in_channels is {config.backbone.in_channels}, and {name} is for RGB: leave one of them out"
            )
    if config.classifier is None:
        check_weights("backbone.weights", config.backbone.architecture, config.backbone.weights)
    else:
        taken_digest(Path(config.classifier))


def check_data(run: Run) -> None:
    """Refuse what is surely wrong in the data; what only looks odd is told by ``tell_notices``."""

    def size_of(record: Record) -> tuple[int, int]:
        # Kept for the plans of all stages.
        return run.fingerprints.shape(record.id, record.image, image_size)

    refuse_wrong(str(run.config.data), run.class_names, sets_in_use(run), size_of)


def sets_in_use(run: Run) -> list[ImageSet]:
    """The images that are trained on, validated on and mapped."""
    names = dict.fromkeys((run.splits.train, *run.splits.maps, run.splits.val))
    return [run.image_set(name) for name in names if name is not None or run.splits.train is None]


def tell_notices(run: Run) -> None:
    """Print what in the data is not used or looks odd, as the doctor does."""
    for notice in notices_of(str(run.config.data), run.class_names, sets_in_use(run)):
        show(f"notice: {notice}")


def trained(run: Run) -> dict[str, Any]:
    """Train on the class labels; what there is to say of it."""
    from advcam.classify.train import train_classifier
    from advcam.training.progress import FitProgress

    train, val = training_sets(run)
    config = run.config.classify
    with FitProgress("classify") as progress:
        result = train_classifier(
            run.config.backbone,
            train,
            val,
            config,
            run.folder.classifier,
            device=run.config.device,
            on_event=progress,
            rounds=run.config.sub_categories,
        )
    made = {
        "trained": {"epochs": config.epochs, "split": train.split, "images": len(train)},
        "measured": None if val is None else val.split,
        "updates": result.fit.updates,
        "seconds": round(result.fit.seconds, 1),
        "epoch": result.epoch,
        "loss": config.loss,
        "untrained": list(result.untrained),
        **figures(result.val_map, result.per_class_ap, result.prevalence, result.judgement),
    }
    if val is not None and config.keep != "last":
        # The figure is then the highest of several on the images that it is measured on.
        count = len(result.fit.validations)
        made["sentence"] += f" The weights are those of the best of {count} validations on these images."
    return made


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


def validation_set(run: Run) -> ImageSet:
    """What a classifier from elsewhere is measured on: the validation images, or all where there are none."""
    return run.limited(run.image_set(run.splits.val or run.splits.train))


def adopted(run: Run, source: Path, wsol: bool) -> dict[str, Any]:
    """Copy a trained classifier into the run folder, so that the folder stands on its own, and measure it."""
    if wsol:
        return adopted_method(run, source)
    from advcam.classify.measure import measure_classifier
    from advcam.classify.methods import load_method, published_method, save_method
    from advcam.classify.wsol.method import CAM

    loss, method = run.config.classify.loss, run.config.classify.method
    network: Any
    if source.is_dir():
        network, _ = load_method(source, run.class_names)
        method = "plain" if network.map == "cam" else network.map
    elif method != "plain":
        network = published_method(method, source, run.config.backbone, len(run.class_names))
    else:
        backbone = replace(run.config.backbone, weights=str(source))
        tell_statistics(backbone)
        network = CAM(build_classifier(backbone, len(run.class_names), require_head=True))
    classifier = network.classifier
    loss = classifier.loss = classifier.loss or loss
    save_method(run.folder.classifier, network, method, run.config.backbone, run.class_names)
    images = validation_set(run)
    measured = measure_classifier(classifier, images, replace(run.config.classify, loss=loss), run.device)
    found = figures(measured.val_map, measured.per_class_ap, measured.prevalence, measured.judgement)
    return {"taken": str(source), "updates": 0, "images": len(images), "untrained": [], "loss": loss, **found}


def run_classifier(run: Run, class_names: tuple[str, ...] | None = None) -> Classifier:
    """The trained classifier of the run folder, for these classes.

    Raises:
        RunError: its training has not finished.
        ModelError: it knows other classes.
    """
    if run.record.done(NAME) is None:
        raise RunError(f"{run.folder.root} has no trained classifier yet: run `advcam classify` with the same --out")
    return load_classifier(run.folder.classifier, class_names or run.class_names)[0]


def figures(
    val_map: float | None, per_class_ap: dict[str, float], shares: dict[str, float], judgement: ClassifierJudgement
) -> dict[str, Any]:
    """Validation figures and the judgement, as they are kept."""
    return {
        "val_map": val_map,
        "per_class_ap": {name: None if math.isnan(value) else value for name, value in per_class_ap.items()},
        "prevalence": shares,
        "level": judgement.level,
        "sentence": judgement.sentence,
    }


# -- localization ----------------------------------------------------------------------------------------------------


def trained_method(run: Run) -> dict[str, Any]:
    """Train by a method of the localization benchmark."""
    from advcam.classify.wsol.train import train_method
    from advcam.training.progress import FitProgress

    train, val = training_sets(run)
    with FitProgress("classify") as progress:
        found = train_method(
            run.config.backbone,
            train,
            val,
            run.config.wsol,
            run.folder.classifier,
            measure=_measure(run, val),
            device=run.config.device,
            on_event=progress,
        )
    made = {
        "trained": {"epochs": run.config.wsol.epochs, "split": train.split, "images": len(train)},
        "measured": None if val is None else val.split,
        "method": run.config.wsol.method,
        "updates": found.result.updates,
        "seconds": round(found.result.seconds, 1),
        "kept": found.kept,
    }
    return _judged(run, made, found.scores, val)


def adopted_method(run: Run, source: Path) -> dict[str, Any]:
    """A method's network from elsewhere."""
    import torch

    from advcam.classify.methods import load_method, save_method
    from advcam.classify.wsol.build import method_on
    from advcam.classify.wsol.task import WSOLTask, check_single_class

    check_single_class(run.image_set(run.splits.maps[0]))
    if source.is_dir():
        network: Any = load_method(source, run.class_names)[0]
    else:
        backbone = replace(run.config.backbone, weights=str(source))
        tell_statistics(backbone)
        classifier = build_classifier(backbone, len(run.class_names), require_head=True).eval()
        network = method_on(classifier, replace(run.config.wsol, method="cam"))
    name = "acol" if network.classifier.architecture.endswith("+acol") else "cam"
    save_method(run.folder.classifier, network, name, run.config.backbone, run.class_names)
    val = validation_set(run)
    task = WSOLTask(network.to(run.device).eval(), val, val, run.config.wsol, _measure(run, val))
    with torch.no_grad():
        total = task.validate(0, 1)
    assert total is not None
    return _judged(run, {"taken": str(source), "updates": 0}, task.scores(total), val)


def _measure(run: Run, val: ImageSet | None) -> Any:
    from advcam.evaluate.validation import BoxValidation, boxed

    return BoxValidation(run.config.box_acc) if val is not None and boxed(val) else None


def _judged(run: Run, made: dict[str, Any], scores: dict[str, float], val: ImageSet | None) -> dict[str, Any]:
    """What the record and the report keep."""
    made |= {"loss": "softmax", "val_map": None, "per_class_ap": {}, "prevalence": {}, "untrained": []}
    if not scores or val is None:
        return made | {"level": "unknown", "sentence": "The classifier was not validated."}
    top1, chance = scores["top1_cls"], 100 / len(run.class_names)
    level = "good" if top1 > 50 else "weak" if top1 > 3 * chance else "unfit"
    kept = f" The {made['kept']} weights are kept." if "kept" in made else ""
    boxes = f", MaxBoxAccV2 {scores['boxes']:.1f}" if "boxes" in scores else ""
    sentence = (
        f"The classifier's first class is right in {top1:.1f} % of {len(val)} validation images{boxes}; guessing gives "
        f"{chance:.1f} %.{kept}"
    )
    return made | {"scores": scores, "level": level, "sentence": sentence}


def artifacts(config: RunConfig) -> Iterator[Artifact]:
    yield Artifact(NAME, (), facts, (NAME,))


STEPS = Steps(classify, artifacts, check, check_data)
