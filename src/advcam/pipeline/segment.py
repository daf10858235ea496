"""The stage that trains a segmentation network on the masks of a run, and measures it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from advcam.data import splits
from advcam.data.images import read_image
from advcam.data.masks import write_mask
from advcam.data.record import ImageSet, Record
from advcam.errors import DataError, RunError
from advcam.evaluate import SegmentationResult, WeightsSource
from advcam.io.files import contents_digest
from advcam.io.progress import say
from advcam.models.stored import WEIGHTS_NAME
from advcam.pipeline.classify import training_sets, weights_fact
from advcam.pipeline.keys import key_of
from advcam.pipeline.parts import Batch, Outcome, Wanted, plan, process_count, sized, work_through
from advcam.pipeline.run import Run
from advcam.pipeline.scoring import score_records
from advcam.review.truth import corrected_files, rejected, to_learn_from
from advcam.segment.cct.settings import CCTSettings
from advcam.segment.inference import Segmenter
from advcam.segment.inference_settings import InferenceSettings
from advcam.segment.settings import SegmentSettings
from advcam.training.settings import WITHOUT_EFFECT, numbers_depend_on

NAME, FOLDER = "segmentation", "segmentation"
RUN_CLASSIFIER = "classifier"
RUN_MASKS, TRUTH = "run", "truth"
LABELLED_LIST = "train"
# These say what is measured and shown, not what is trained.
MEASURED_ONLY = ("score", "multi_scale", "crf", "samples", "devices")
AFTERWARDS = (*MEASURED_ONLY, "weights", *WITHOUT_EFFECT)
# CCT's scales at test time (its program).
SEVERAL = InferenceSettings(scales=(0.5, 0.75, 1.0, 1.25, 1.5), flip=True)
# Pixels of all pictures of a batch together, for up to so many labels of each pixel.
CPU_BATCH_PIXELS, GPU_BATCH_PIXELS, BATCH_LABELS = 2**19, 2**23, 21


def segment(run: Run) -> None:
    """Fill ``segmentation`` of the run folder: the network, its training's logs, its labels of the scored splits."""
    if run.config.segment.method == "none":
        return
    sets = splits_of(run)
    found = facts(run, sets)
    with run.making(NAME, found, [FOLDER]) as made:
        if not made.fresh or not (run.folder.segmentation / WEIGHTS_NAME).exists():
            training = cct_training(run, sets) if run.config.segment.method == "cct" else deeplab_training(run, sets)
            made.entry.result = training.said | train(run, training, sets)
        made.entry.content = run.network_content(run.folder.segmentation)
    for split, images in sets.scored.items():
        predict_split(run, split, images)
    for result in network_results(run):
        say(f"segment: {result}")


def facts(run: Run, sets: SplitsOfNetwork | None = None) -> dict[str, Any]:
    """What the network depends on."""
    sets = sets or splits_of(run)
    config = run.config.segment
    own: SegmentSettings | CCTSettings = run.config.cct if config.method == "cct" else config
    settings = {name: value for name, value in numbers_depend_on(own).items() if name not in AFTERWARDS}
    settings["keep"] = settled_keep(own, sets)
    weights: Any = config.weights
    if config.method == "cct":
        weights = weights_fact(run.config.cct.weights)
        candidates = labelled_split(run, sets.train)
        truth = [record for record in candidates.records if record.mask is not None]
        masks: Any = {
            "true": mask_contents(run, truth),
            "pseudo": named_contents(run, sets.train) if run.config.cct.weak else None,
        }
    else:
        weights = run.content("classifier", "classify") if weights == RUN_CLASSIFIER else weights_fact(weights)
        masks = named_contents(run, sets.train)
    return {
        "method": config.method,
        "settings": settings,
        "weights": weights,
        "masks": masks,
        "train": run.described(sets.train),
        "kept_by": next(iter(sets.scored), None) if settings["keep"] == "best" else None,
    }


def named_contents(run: Run, images: ImageSet) -> str:
    """The content of the masks that ``segment.masks`` names."""
    if run.config.segment.masks == RUN_MASKS:
        made = run.ledger(f"{run.kind}/masks").of([record.id for record in images.records])
        files, left = corrected_files(images.records, run.folder.root), rejected(run.folder.root)
        return key_of([made, run.fingerprints.of(files), left]) if files or left else made
    return mask_contents(run, with_named_masks(run, images).records)


def mask_contents(run: Run, records: Iterable[Record]) -> str:
    """The content of the masks of some images."""
    listed = list(records)
    files = {f"mask:{record.mask}": record.mask for record in listed if isinstance(record.mask, Path)}
    drawn = [key_of(str(record.mask)) for record in listed if not isinstance(record.mask, Path)]
    return key_of([[record.id for record in listed], list(run.fingerprints.of(files).values()), drawn])


@dataclass(frozen=True)
class Training:
    """A training that the settings describe.

    Attributes:
        keep: which weights are kept.
        origin: what is known of the data, for the trainer.
        said: what there is to say of it.
        start: the task, what it trains, and what the network is built from, given what it is validated on.
    """

    keep: str
    origin: dict[str, str]
    said: dict[str, Any]
    start: Callable[[Any], tuple[Any, Segmenter, dict[str, Any]]]


def deeplab_training(run: Run, sets: SplitsOfNetwork) -> Training:
    """DeepLab-v2 on the masks that the settings name."""
    from advcam.segment.task import DeepLabTask, start_deeplab

    config = replace(run.config.segment, keep=settled_keep(run.config.segment, sets))
    masked = training_images(run, sets.train)
    say(f"segment: {len(masked.images)} images with masks ({where_from(run)})")
    tell_left_out(masked.left_out, masked.untrained)
    origin = {"masks": where_from(run), "images": digest(masked.images, masked.pixels)}
    if config.weights == RUN_CLASSIFIER:
        origin["classifier"] = contents_digest({WEIGHTS_NAME: Path(str(initial_weights(run)))})
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
    return Training(config.keep, origin, said, start)


def cct_training(run: Run, sets: SplitsOfNetwork) -> Training:
    """CCT on the true masks of some images, and on all others without or with pseudo masks."""
    from advcam.segment.cct.task import CCTTask, start_cct

    config = replace(run.config.cct, keep=settled_keep(run.config.cct, sets))
    data = semi_supervised_images(run, sets.train)
    origin = {
        "with masks": digest(data.labelled.images, data.labelled.pixels),
        "without masks": digest(data.others, data.pixels),
        "pseudo masks": where_from(run) if data.weak else "none",
    }

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
    return Training(config.keep, origin, said, start)


def semi_supervised_images(run: Run, images: ImageSet) -> Any:
    """Images with masks as ``cct`` asks for them, and all others of the training split and of theirs without.

    Raises:
        DataError: as ``semi_supervised``, and where no image has a true mask.
        RunError: the run's own masks are wanted, and not made yet.
    """
    from advcam.segment.cct.data import merged, semi_supervised
    from advcam.segment.data import check_masks

    settings, skip_bad = run.config.cct, run.config.skip_bad or run.config.limit is not None
    candidates = labelled_split(run, images)
    if all(record.mask is None for record in candidates.records):
        raise DataError(
            f"{candidates.root}: none of the {len(candidates)} images of {candidates.split or 'the data set'} has a "
            f"ground-truth mask, and CCT needs some: name a list that has with cct.labelled_split, or train "
            f"segment.method deeplab on the pseudo masks alone"
        )
    checked = check_masks(candidates, skip_bad=skip_bad)
    pseudo_masks = with_named_masks(run, merged(candidates, images)) if settings.weak else None
    data = semi_supervised(checked, images, settings.labelled, pseudo_masks, skip_bad=skip_bad)
    left_out = (*checked.left_out, *data.left_out)
    run.leave_out("segment", [str(problem) for problem in left_out])
    weak = f"pseudo masks ({where_from(run)})" if data.weak else "no masks"
    say(f"segment: {len(data.labelled.images)} images with masks, {len(data.others)} with {weak}")
    tell_left_out(left_out, data.labelled.untrained)
    return data


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
    found = {
        name: replace(images, records=tuple(record for record in images.records if record.mask is not None))
        for name, images in scored.items()
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
    if run.record.done(name) is None:
        raise RunError(f"{run.folder.root} has no whole set of masks yet: run `advcam refine` with the same --out")
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


def digest(images: ImageSet, pixels: Sequence[int]) -> str:
    """What tells one set of training masks from another, to the trainer."""
    return key_of([[record.id for record in images.records], list(pixels)])


def initial_weights(run: Run) -> str | None:
    """The file behind ``segment.weights``."""
    if run.config.segment.weights != RUN_CLASSIFIER:
        return run.config.segment.weights
    path = run.folder.classifier / WEIGHTS_NAME
    if not path.exists():
        raise RunError(f"segment.weights is classifier, but {path} is not there: run `advcam classify` first")
    return str(path)


# -- training and measuring ------------------------------------------------------------------------------------------


def train(run: Run, training: Training, sets: SplitsOfNetwork) -> dict[str, Any]:
    """Train the network, or go on, and store it; what there is to say of the training."""
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
            task, folder, origin=training.origin, device=run.config.device, devices=config.devices, on_event=shown
        )
    save_network(folder, segmenter, config.method, build)
    made = {"updates": result.updates, "seconds": round(result.seconds, 1), "kept": result.kept}
    if training.keep == "last":
        return made
    # The figure on this split is then the highest of several.
    return made | {"chosen": {"split": split, "validations": len(result.validations)}}


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
                (record, run.folder.prediction(record.id, look.folder))
                for record in images.records
                if ledger.fresh(record.id, keys[record.id], run.folder.prediction(record.id, look.folder))
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
    from dataclasses import asdict

    static, pictures = key_of([run.content(NAME, "segment"), asdict(look.settings)]), run.pictures(records)
    return {record.id: key_of([static, pictures[record.id]]) for record in records}


def predict_split(run: Run, split: str, images: ImageSet) -> None:
    """Write the network's labels of a split, for each look that is asked for."""
    for look in looks(run.config.segment.multi_scale, run.config.segment.crf):
        name = f"{NAME}/{look.folder}"
        wanted = Wanted(
            name, prediction_keys(run, look, images.records), partial(run.folder.prediction, look=look.folder)
        )
        ready = loaded(run)
        batches = batches_of(ready, look.settings, sized(run, images.records))
        build = partial(PredictionWork.of, look=look)
        work_through(
            run, [wanted], batches, build, f"segment: labels of {split}{look.words}", processes=process_count(run)
        )


def loaded(run: Run) -> Segmenter:
    from advcam.segment.checkpoint import load

    return on_device(load(run.folder.segmentation), run.device)


def on_device(segmenter: Segmenter, device: Any) -> Segmenter:
    """The network on its device, in the layout that convolutions are fastest in."""
    import torch

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
        reduced = min(1.0, settings.max_side / max(size))
        return max(1, int(pixels / (size[0] * size[1] * reduced**2 * share)))

    return plan(((replace(record, classes=()), size) for record, size in pictures), most)


@dataclass(frozen=True)
class PredictionWork:
    """Label pictures of scored images."""

    run: Run
    segmenter: Segmenter
    look: Look
    threaded: bool = False

    @classmethod
    def of(cls, run: Run, look: Look) -> PredictionWork:
        return cls(run, loaded(run), look)

    def load(self, batch: Batch) -> list[UInt8[np.ndarray, "_ _ 3"]]:
        return [read_image(record.image) for record in batch.records]

    def make(self, batch: Batch, loaded: list[UInt8[np.ndarray, "_ _ 3"]]) -> Any:
        return self.segmenter.labels(loaded, self.look.settings)

    def save(self, batch: Batch, made: Any, missing: Mapping[str, frozenset[str]]) -> Outcome:
        outcome = Outcome()
        for record, labels in zip(batch.records, made, strict=True):
            if record.id in missing:
                path = self.run.folder.prediction(record.id, self.look.folder)
                write_mask(path, labels)
                outcome.files.append((f"{NAME}/{self.look.folder}", record.id, path))
        return outcome
