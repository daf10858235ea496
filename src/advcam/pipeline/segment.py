"""The stage that trains a segmentation network on the masks of a run, and measures it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

from advcam.data import splits
from advcam.data.record import ImageSet, Record
from advcam.errors import DataError, RunError, SettingsError
from advcam.io.progress import say
from advcam.models.stored import WEIGHTS_NAME
from advcam.pipeline.classify import check_weights, weights_fact
from advcam.pipeline.config import RunConfig
from advcam.pipeline.keys import Artifact, Facts, Steps, learnt_of, making
from advcam.pipeline.predictions import NAME, RUN_MASKS, SplitsOfNetwork, network_results, predict_split, splits_of
from advcam.pipeline.run import Run
from advcam.pipeline.scoring import mask_contents
from advcam.review.truth import corrected_files, rejected, to_learn_from
from advcam.segment.cct.settings import CCTSettings
from advcam.segment.inference import Segmenter
from advcam.segment.settings import SegmentSettings
from advcam.training.settings import WITHOUT_EFFECT, numbers_depend_on

RUN_CLASSIFIER = "classifier"
TRUTH = "truth"
LABELLED_LIST = "train"
# These say what is measured and shown, not what is trained.
MEASURED_ONLY = ("score", "multi_scale", "crf", "samples", "devices")
AFTERWARDS = (*MEASURED_ONLY, "weights", *WITHOUT_EFFECT)


def segment(run: Run) -> None:
    """Fill ``segmentation`` of the run folder: the network, its training's logs, its labels of the scored splits."""
    if run.config.segment.method == "none":
        return
    sets = splits_of(run)
    found = facts(run, sets)
    with making(run, NAME, found, [NAME]) as made:
        if not made.fresh:
            run.for_one("the network's training")
            training = cct_training(run, sets) if run.config.segment.method == "cct" else deeplab_training(run, sets)
            made.entry.result = training.said | train(run, training, sets, made.entry.key)
        made.entry.content = run.network_content(run.folder.segmentation)
    for split, images in sets.looked_at.items():
        predict_split(run, split, images)
    for result in network_results(run):
        say(f"segment: {result}")


def facts(run: Run, sets: SplitsOfNetwork | None = None) -> Facts:
    """What the network depends on."""
    sets = sets or splits_of(run)
    config = run.config.segment
    own: SegmentSettings | CCTSettings = run.config.cct if config.method == "cct" else config
    settings = {name: value for name, value in numbers_depend_on(own).items() if name not in AFTERWARDS}
    settings["keep"] = settled_keep(own, sets)
    learnt: dict[str, list[Any]] = {image: list(of) for image, of in run.described(sets.train.records).items()}
    masks: dict[str, Any] = {}
    if config.method == "cct":
        weights: Any = weights_fact(run.config.cct.weights)
        truth = [record for record in labelled_split(run, sets.train).records if record.mask is not None]
        for image, content in mask_contents(run, truth).items():
            learnt.setdefault(image, []).append(content)
        masks = named_contents(run, sets.train) if run.config.cct.weak else {}
    else:
        from_run = config.weights == RUN_CLASSIFIER
        weights = run.content("classifier", "classify") if from_run else weights_fact(config.weights)
        masks = named_contents(run, sets.train)
    for image, content in masks.items():
        learnt.setdefault(image, []).append(content)
    return {
        "method": config.method,
        "settings": settings,
        "weights": weights,
        "classes": list(sets.train.class_names),
        "kept_by": next(iter(sets.scored), None) if settings["keep"] == "best" else None,
        "learnt": learnt_of(run, NAME, learnt),
    }


def named_contents(run: Run, images: ImageSet) -> dict[str, Any]:
    """The content of each image's mask where ``segment.masks`` looks for it."""
    if run.config.segment.masks != RUN_MASKS:
        return mask_contents(run, with_named_masks(run, images).records)
    made: dict[str, Any] = dict(run.ledger(f"{run.kind}/masks").of(record.id for record in images.records))
    corrected = run.fingerprints.of(corrected_files(images.records, run.folder.root))
    return made | corrected | dict.fromkeys(set(rejected(run.folder.root)) & set(made) - set(corrected), "rejected")


@dataclass(frozen=True)
class Training:
    """A training that the settings describe.

    Attributes:
        keep: which weights are kept.
        said: what there is to say of it.
        start: the task, what it trains, and what the network is built from, given what it is validated on.
    """

    keep: str
    said: dict[str, Any]
    start: Callable[[Any], tuple[Any, Segmenter, dict[str, Any]]]


def deeplab_training(run: Run, sets: SplitsOfNetwork) -> Training:
    """DeepLab-v2 on the masks that the settings name."""
    from advcam.segment.task import DeepLabTask, start_deeplab

    config = replace(run.config.segment, keep=settled_keep(run.config.segment, sets))
    masked = training_images(run, sets.train)
    corrected = len(corrected_files(sets.train.records, run.folder.root))
    theirs = f", {corrected} of them corrected" if corrected else ""
    say(f"segment: {len(masked.images)} images with masks ({where_from(run)}{theirs})")
    tell_left_out(masked.left_out, masked.untrained)
    trained = replace(config, **{name: getattr(SegmentSettings, name) for name in MEASURED_ONLY})

    def start(validation: Any) -> tuple[Any, Segmenter, dict[str, Any]]:
        segmenter, build = start_deeplab(replace(trained, weights=initial_weights(run)), run.class_names)
        return DeepLabTask(segmenter, masked.images, trained, validation), segmenter, build

    said = {
        "method": config.method,
        "architecture": config.architecture,
        "images": len(masked.images),
        "untrained": list(masked.untrained),
        "trained_on_as_well": trained_on_as_well(masked.images.records, sets),
    }
    return Training(config.keep, said, start)


def cct_training(run: Run, sets: SplitsOfNetwork) -> Training:
    """CCT on the true masks of some images, and on all others without or with pseudo masks."""
    from advcam.segment.cct.task import CCTTask, start_cct

    config = replace(run.config.cct, keep=settled_keep(run.config.cct, sets))
    data = semi_supervised_images(run, sets.train)

    def start(validation: Any) -> tuple[Any, Segmenter, dict[str, Any]]:
        segmenter, build = start_cct(config, run.class_names)
        return CCTTask(segmenter, data, config, validation), segmenter, build

    said = {
        "method": "cct",
        "architecture": config.architecture,
        "images": len(data.labelled.images),
        "without_masks": len(data.others),
        "untrained": list(data.labelled.untrained),
        "trained_on_as_well": trained_on_as_well((*data.labelled.images.records, *data.others.records), sets),
    }
    return Training(config.keep, said, start)


def semi_supervised_images(run: Run, images: ImageSet) -> Any:
    """Images with masks as ``cct`` asks for them, and all others of the training split and of theirs without.

    Raises:
        DataError: as ``semi_supervised``, and where no image has a true mask.
        RunError: the run's own masks are wanted, and not made yet.
    """
    from advcam.segment.cct.data import merged, semi_supervised
    from advcam.segment.data import check_masks

    settings, skip_bad = run.config.cct, run.config.skip_bad or run.config.limit is not None
    candidates = with_truth(run, images)
    checked = check_masks(candidates, skip_bad=skip_bad)
    pseudo_masks = with_named_masks(run, merged(candidates, images)) if settings.weak else None
    data = semi_supervised(checked, images, settings.labelled, pseudo_masks, skip_bad=skip_bad)
    left_out = (*checked.left_out, *data.left_out)
    run.leave_out("segment", [str(problem) for problem in left_out])
    weak = f"pseudo masks ({where_from(run)})" if data.weak else "no masks"
    say(f"segment: {len(data.labelled.images)} images with masks, {len(data.others)} with {weak}")
    tell_left_out(left_out, data.labelled.untrained)
    return data


def with_truth(run: Run, images: ImageSet) -> ImageSet:
    """As ``labelled_split``; DataError where none of the images has a true mask."""
    candidates = labelled_split(run, images)
    if all(record.mask is None for record in candidates.records):
        raise DataError(
            f"{candidates.root}: none of the {len(candidates)} images of {candidates.split or 'the data set'} has a "
            f"ground-truth mask, and CCT needs some: name a list that has with cct.labelled_split, or train "
            f"segment.method deeplab on the pseudo masks alone"
        )
    return candidates


def labelled_split(run: Run, images: ImageSet) -> ImageSet:
    """The images whose true masks may be used."""
    asked = run.config.cct.labelled_split
    if asked is None and run.config.data is not None:
        asked = LABELLED_LIST if LABELLED_LIST in splits(run.config.data, labels=run.config.labels) else None
    return images if asked is None else run.limited(run.image_set(asked))


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
    return "best" if config.keep != "last" and sets.scored else "last"


# -- which images and masks ------------------------------------------------------------------------------------------


def trained_on_as_well(trained: Iterable[Record], sets: SplitsOfNetwork) -> list[str]:
    """The scored splits whose images are trained on too; says so: their figures tell nothing about new images."""
    seen = {record.id for record in trained}
    found = [name for name, images in sets.scored.items() if any(record.id in seen for record in images.records)]
    for name in found:
        say(f"segment: images of {name} are trained on as well, so its figure says nothing about new images")
    return found


def training_images(run: Run, images: ImageSet) -> Any:
    """The images of a training with the masks that it is asked to learn from."""
    from advcam.segment.data import check_masks

    masked = check_masks(with_named_masks(run, images), skip_bad=run.config.skip_bad)
    run.leave_out("segment", [str(problem) for problem in masked.left_out])
    if masked.untrained and not run.config.skip_bad and run.config.limit is None:
        raise DataError(
            f"no mask has a pixel of {', '.join(masked.untrained)}, so the network would never find it: add masks that "
            "show it, take it out of the list of classes, or give --skip-bad to train without it"
        )
    return masked


def with_named_masks(run: Run, images: ImageSet) -> ImageSet:
    """The images that have a mask where ``segment.masks`` looks for them, with that mask.

    Raises:
        RunError: the run's own masks are asked for, and not made yet.
        DataError: there is no such folder, or none of the images has a mask in it.
    """
    from advcam.segment.data import with_masks

    asked = run.config.segment.masks
    if asked == TRUTH:
        return images
    if asked != RUN_MASKS:
        return with_masks(images, asked)
    name = f"{run.kind}/masks"
    run.need(name, "refine")
    return to_learn_from(with_masks(images, run.folder.root / name), images.records, run.folder.root)


def where_from(run: Run) -> str:
    """The masks in words, as the trainer keeps them."""
    asked = run.config.segment.masks
    if asked == RUN_MASKS:
        return "the run's own masks"
    return "ground truth" if asked == TRUTH else f"masks of {asked}"


def tell_left_out(left_out: Sequence[Any], untrained: Sequence[str]) -> None:
    """Say what is not trained on."""
    if left_out:
        say(f"segment: {len(left_out)} images are left out (first: {left_out[0]})")
    if untrained:
        say(f"segment: no mask has a pixel of {', '.join(untrained)}")


def initial_weights(run: Run) -> str | None:
    """The file behind ``segment.weights``."""
    if run.config.segment.weights != RUN_CLASSIFIER:
        return run.config.segment.weights
    path = run.folder.classifier / WEIGHTS_NAME
    if not path.exists():
        raise RunError(f"segment.weights is classifier, but {path} is not there: run `advcam classify` first")
    return str(path)


# -- training and measuring ------------------------------------------------------------------------------------------


def train(run: Run, training: Training, sets: SplitsOfNetwork, key: str) -> dict[str, Any]:
    """Train the network, or go on with the training of this key, and store it; what there is to say of it."""
    from advcam.segment.checkpoint import save_network
    from advcam.segment.validation import Validation
    from advcam.training import FitProgress, fit

    config, folder = run.config.segment, run.folder.segmentation
    split = next(iter(sets.scored), None)
    asked = run.config.cct.keep if config.method == "cct" else config.keep
    if split is None and asked == "auto":
        say("segment: no split has ground truth to validate on, so the weights after the last update are kept")
    validation = None if split is None else Validation(sets.scored[split], config.samples)
    task, segmenter, build = training.start(validation)
    shown = FitProgress("segment")
    # Several processes write lines of their own, which a bar would be in the way of.
    with shown if config.devices == 1 else nullcontext():
        result = fit(
            task, folder, origin={"key": key}, device=run.config.device, devices=config.devices, on_event=shown
        )
    save_network(folder, segmenter, config.method, build)
    made = {"updates": result.updates, "seconds": round(result.seconds, 1), "kept": result.kept}
    if training.keep == "last":
        return made
    # The figure on this split is then the highest of several.
    return made | {"chosen": {"split": split, "validations": len(result.validations)}}


def artifacts(config: RunConfig) -> Iterator[Artifact]:
    if config.segment.method != "none":
        masks = (f"{config.attribute.kind}/masks",) if config.segment.masks == RUN_MASKS else ()
        weights = ("classifier",) if config.segment.weights == RUN_CLASSIFIER else ()
        yield Artifact(NAME, (*masks, *weights), facts, (NAME,))


def check(config: RunConfig) -> None:
    """There will be masks, and the network's weights are there."""
    if config.segment.method == "none":
        return
    if config.wsol.method != "none":
        raise SettingsError(
            "a run with wsol.method makes boxes, and no masks for segment.method to learn from: leave one of them out"
        )
    if config.segment.method == "deeplab" and config.segment.weights != RUN_CLASSIFIER:
        check_weights("segment.weights", config.segment.architecture, config.segment.weights)
    if config.segment.method == "cct":
        check_weights("cct.weights", config.cct.architecture, config.cct.weights)


def check_data(run: Run) -> None:
    """The masks that are to be learnt from, or measured on, can be used, where they are there already."""
    from advcam.segment.data import check_masks

    config = run.config
    if config.segment.method == "none":
        return
    sets = splits_of(run)
    for images in sets.scored.values():
        check_masks(images, skip_bad=config.skip_bad)
    if config.segment.method == "cct":
        with_truth(run, sets.train)
    elif config.segment.masks != RUN_MASKS:
        check_masks(with_named_masks(run, sets.train), skip_bad=config.skip_bad)


STEPS = Steps(segment, artifacts, check, check_data)
