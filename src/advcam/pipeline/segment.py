"""The stage that trains a segmentation network on the masks of a run, and measures it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from advcam.data.files import contents_digest
from advcam.data.masks import write_mask
from advcam.data.record import ImageSet, Record
from advcam.errors import DataError, RunError
from advcam.evaluate import SegmentationResult, WeightsSource
from advcam.models.stored import WEIGHTS_NAME
from advcam.pipeline.classify import training_sets
from advcam.pipeline.labelling import Labeller, ready
from advcam.pipeline.mask_sources import RUN_MASKS, where_from, with_named_masks
from advcam.pipeline.progress import progress, say
from advcam.pipeline.run import Run
from advcam.pipeline.scoring import score_records
from advcam.pipeline.semi_supervision import semi_supervised_images
from advcam.segment.cct.settings import CCTSettings
from advcam.segment.cct.task import CCTTask, start_cct
from advcam.segment.checkpoint import FOLDER, load, save_network
from advcam.segment.data import MaskedImages, check_masks
from advcam.segment.inference import Segmenter
from advcam.segment.inference_settings import InferenceSettings
from advcam.segment.settings import SegmentSettings
from advcam.segment.task import DeepLabTask, start_deeplab
from advcam.segment.validation import Validation
from advcam.training import FitProgress, Task, fit
from advcam.training.settings import WITHOUT_EFFECT, numbers_depend_on

RUN_CLASSIFIER = "classifier"
# These say what is measured and shown, not what is trained.
AFTERWARDS = ("score", "multi_scale", "crf", "samples", "devices", "weights", *WITHOUT_EFFECT)
MEASURED_ONLY = ("score", "multi_scale", "crf", "samples", "devices")
# CCT's scales at test time (its program).
SEVERAL = InferenceSettings(scales=(0.5, 0.75, 1.0, 1.25, 1.5), flip=True)


def segment(run: Run) -> None:
    """Fill ``segmentation`` of the run folder: the network, its training's logs, its labels of the scored splits."""
    if run.config.segment.method == "none":
        return
    sets = splits_of(run)
    training = cct_training(run, sets) if run.config.segment.method == "cct" else deeplab_training(run, sets)
    with run.stage("segment", training.settings, (FOLDER, "metrics.json")) as entry:
        entry |= training.facts
        entry["result"] = train(run, training, sets)
        for images in sets.scored.values():
            predict_split(run, images)
    for result in network_results(run):
        say(f"segment: {result}")


@dataclass(frozen=True)
class Training:
    """A training that the settings describe.

    Attributes:
        settings: all that its numbers depend on, as the manifest keeps it.
        origin: of these what is known of the data, for the trainer.
        facts: for the manifest.
        start: the task, what it trains, and what the network is built from, given what it is validated on.
    """

    settings: dict[str, Any]
    origin: dict[str, str]
    facts: dict[str, Any]
    start: Callable[[Validation | None], tuple[Task, Segmenter, dict[str, Any]]]


def deeplab_training(run: Run, sets: SplitsOfNetwork) -> Training:
    """DeepLab-v2 on the masks that the settings name."""
    config = replace(run.config.segment, keep=settled_keep(run.config.segment, sets))
    masked = training_images(run, sets.train)
    tell(run, masked)
    origin = {"masks": where_from(run), "images": digest(masked.images, masked.pixels)}
    if config.weights == RUN_CLASSIFIER:
        origin["classifier"] = contents_digest({WEIGHTS_NAME: Path(str(initial_weights(run)))})
    settings = {name: value for name, value in numbers_depend_on(config).items() if name not in AFTERWARDS}
    trained = replace(config, **{name: getattr(SegmentSettings, name) for name in MEASURED_ONLY})

    def start(validation: Validation | None) -> tuple[Task, Segmenter, dict[str, Any]]:
        segmenter, build = start_deeplab(replace(trained, weights=initial_weights(run)), run.class_names)
        return DeepLabTask(segmenter, masked.images, trained, validation), segmenter, build

    facts = {
        "images": len(masked.images),
        "untrained": list(masked.untrained),
        "trained_on_as_well": trained_on_as_well(masked.images.records, sets),
    }
    return Training(settings | {"weights": config.weights, **origin}, origin, facts, start)


def cct_training(run: Run, sets: SplitsOfNetwork) -> Training:
    """CCT on the true masks of some images, and on all others without or with pseudo masks."""
    config = replace(run.config.cct, keep=settled_keep(run.config.cct, sets))
    data = semi_supervised_images(run, sets.train)
    origin = {
        "with masks": digest(data.labelled.images, data.labelled.pixels),
        "without masks": digest(data.others, data.pixels),
        "pseudo masks": where_from(run) if data.weak else "none",
    }
    settings = numbers_depend_on(config)

    def start(validation: Validation | None) -> tuple[Task, Segmenter, dict[str, Any]]:
        segmenter, build = start_cct(config, run.class_names)
        return CCTTask(segmenter, data, config, validation), segmenter, build

    facts = {
        "images": len(data.labelled.images),
        "without_masks": len(data.others),
        "untrained": list(data.labelled.untrained),
        "trained_on_as_well": trained_on_as_well((*data.labelled.images.records, *data.others.records), sets),
    }
    return Training({"method": "cct", **settings, **origin}, origin, facts, start)


def settled_keep(config: SegmentSettings | CCTSettings, sets: SplitsOfNetwork) -> Literal["last", "best"]:
    """Which weights a training keeps; "best" needs a split to validate on.

    Raises:
        SettingsError: "best" is asked for, and no image has ground truth.
    """
    if config.keep == "best" and not sets.scored:
        raise config.wrong(
            "keep",
            "no image outside the training has ground truth to validate on: name a split that has with segment.score, "
            'or take "last"',
        )
    if config.keep == "auto" and not sets.scored:
        say("segment: no split has ground truth to validate on, so the weights after the last update are kept")
    return "best" if config.keep != "last" and sets.scored else "last"


@dataclass(frozen=True)
class SplitsOfNetwork:
    """The images that a network is trained on, and those with ground truth that it is measured on, by split."""

    train: ImageSet
    scored: dict[str, ImageSet]


def splits_of(run: Run) -> SplitsOfNetwork:
    """The splits that the settings name, or those that suit the run: then no image of a scored one is trained on."""
    config = run.config.segment
    has_lists = run.splits.train is not None
    names = config.score or ((run.splits.val,) if run.splits.val is not None else ())
    scored = {name: run.limited(run.image_set(name)) for name in names}
    if not has_lists and not scored:
        held = training_sets(run)[1]
        scored = {} if held is None else {str(held.split): held}
    found = {name: only_masked(images) for name, images in scored.items()}
    missing = [name for name in config.score if not len(found[name])]
    if missing:
        raise DataError(f"segment.score names {missing[0]}, but no image of it has ground truth: leave it out")
    scored = {name: images for name, images in found.items() if len(images)}
    if config.train is not None:
        train = run.limited(run.image_set(config.train))
    elif config.masks != RUN_MASKS or run.splits.train in run.splits.maps:
        train = run.limited(run.image_set(run.splits.train)) if has_lists else training_sets(run)[0]
    else:
        measured = {record.id for images in scored.values() for record in images.records}
        unseen = tuple(record for record in run.wanted if record.id not in measured)
        train = replace(next(iter(run.mapped_sets.values())), records=unseen or run.wanted, split=None)
    return SplitsOfNetwork(train, scored)


def trained_on_as_well(trained: Iterable[Record], sets: SplitsOfNetwork) -> list[str]:
    """The scored splits whose images are trained on too; says so: their figures tell nothing about new images."""
    seen = {record.id for record in trained}
    found = [name for name, images in sets.scored.items() if any(record.id in seen for record in images.records)]
    for name in found:
        say(f"segment: images of {name} are trained on as well, so its figure says nothing about new images")
    return found


def only_masked(images: ImageSet) -> ImageSet:
    return replace(images, records=tuple(record for record in images.records if record.mask is not None))


def training_images(run: Run, images: ImageSet) -> MaskedImages:
    """The images of a training with the masks that it is asked to learn from."""
    masked = check_masks(with_named_masks(run, images), skip_bad=run.config.skip_bad)
    run.leave_out("segment", [str(problem) for problem in masked.left_out])
    if masked.untrained and not run.config.skip_bad and run.config.limit is None:
        raise DataError(
            f"no mask has a pixel of {', '.join(masked.untrained)}, so the network would never find it: add masks that "
            "show it, take it out of the list of classes, or give --skip-bad to train without it"
        )
    return masked


def tell(run: Run, masked: MaskedImages) -> None:
    """Say what is trained on."""
    say(f"segment: {len(masked.images)} images with masks ({where_from(run)})")
    if masked.left_out:
        say(f"segment: {len(masked.left_out)} images are left out (first: {masked.left_out[0]})")
    if masked.untrained:
        say(f"segment: no mask has a pixel of {', '.join(masked.untrained)}")


def digest(images: ImageSet, pixels: Sequence[int]) -> str:
    """What tells one set of training masks from another."""
    names = "\n".join(record.id for record in images.records)
    return hashlib.sha256(f"{names}\n{tuple(pixels)}".encode()).hexdigest()[:16]


def train(run: Run, training: Training, sets: SplitsOfNetwork) -> dict[str, Any]:
    """Train the network, or go on, and store it; what the manifest keeps of the training."""
    config, folder = run.config.segment, run.folder.root / FOLDER
    validation = None
    split = next(iter(sets.scored), None)
    if split is not None:
        validation = Validation(sets.scored[split], config.samples)
    task, segmenter, build = training.start(validation)
    shown = FitProgress("segment")
    # Several processes write lines of their own, which a bar would be in the way of.
    with shown if config.devices == 1 else nullcontext():
        result = fit(
            task, folder, origin=training.origin, device=run.config.device, devices=config.devices, on_event=shown
        )
    if not (folder / WEIGHTS_NAME).exists():
        save_network(folder, segmenter, config.method, build)
    made = {"updates": result.updates, "seconds": round(result.seconds, 1), "kept": result.kept}
    if training.settings["keep"] == "last":
        return made
    # The figure on this split is then the highest of several.
    return made | {"chosen": {"split": split, "validations": len(result.validations)}}


def initial_weights(run: Run) -> str | None:
    """The file behind ``segment.weights``."""
    if run.config.segment.weights != RUN_CLASSIFIER:
        return run.config.segment.weights
    path = run.folder.classifier / WEIGHTS_NAME
    if not path.exists():
        raise RunError(f"segment.weights is classifier, but {path} is not there: run `advcam classify` first")
    return str(path)


@dataclass(frozen=True)
class Look:
    """One way in which the finished network looks at the scored images.

    Attributes:
        words: behind the method's name, in results.
        folder: of its label pictures, in the run folder.
        settings: of the inference.
    """

    words: str
    folder: str
    settings: InferenceSettings


def looks(several: bool, crf: bool) -> list[Look]:
    """At one scale; where asked for at several; and the better of the two after the CRF."""
    found = [Look("", f"{FOLDER}/predictions", InferenceSettings())]
    if several:
        found.append(Look(" at 5 scales", f"{FOLDER}/predictions_scales", SEVERAL))
    if crf:
        best = found[-1]
        found.append(Look(f"{best.words} + crf", f"{best.folder}_crf", replace(best.settings, crf=True)))
    return found


def network_results(run: Run) -> list[SegmentationResult]:
    """The scores of the network's labels, as far as they are there, for each split and look."""
    results = []
    stage = run.manifest.stages["segment"]
    method, chosen = stage["settings"]["method"], (stage.get("result") or {}).get("chosen")
    weights = None if chosen is None else WeightsSource(**chosen)
    known = {look.folder: look for several in (True, False) for look in looks(several, True)}
    for split, images in splits_of(run).scored.items():
        for look in known.values():
            there = [record for record in images.records if run.folder.mask(record.id, look.folder).exists()]
            if there:
                scores = score_records(run, look.folder, there)
                results.append(
                    SegmentationResult(
                        method + look.words, split, scores, class_names=run.class_names, weights_source=weights
                    )
                )
    return results


def predict_split(run: Run, images: ImageSet) -> None:
    """Write the network's labels of a split, for each look that is asked for."""
    folder = run.folder.root / FOLDER
    segmenter = ready(load(folder, run.class_names), run.device)
    made_after = (folder / WEIGHTS_NAME).stat().st_mtime_ns
    for look in looks(run.config.segment.multi_scale, run.config.segment.crf):
        files = {record.id: record.image for record in images.records}
        missing = {record.id for record in images.records if not whole(run, record, look.folder, made_after)}
        if not missing:
            continue

        def stop(image_id: str, error: DataError) -> None:
            raise error

        labeller = Labeller(segmenter, look.settings, stop)
        with progress(f"segment: labels of {images.split}{look.words}", len(missing)) as advance:
            for batch in labeller.label(labeller.units(files.items()), files.__getitem__, missing):
                for found in batch:
                    write_mask(run.folder.mask(found.id, look.folder), found.labels)
                advance(len(batch))


def whole(run: Run, record: Record, kind: str, made_after: int) -> bool:
    """True where the label picture is there and younger than the network."""
    path = run.folder.mask(record.id, kind)
    return path.exists() and path.stat().st_mtime_ns > made_after
