"""The stage that trains a segmentation network on the masks of a run, and measures it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from advcam.data.masks import write_mask
from advcam.data.record import ImageSet, Record
from advcam.errors import DataError, RunError, SettingsError
from advcam.evaluate import SegmentationScores
from advcam.models.checkpoint import WEIGHTS_NAME
from advcam.pipeline.classify import training_sets
from advcam.pipeline.labelling import Labeller, ready
from advcam.pipeline.progress import progress, say
from advcam.pipeline.run import Run
from advcam.pipeline.scoring import score_records
from advcam.segment.checkpoint import FOLDER, load, save_network
from advcam.segment.data import MaskedImages, check_masks, with_masks
from advcam.segment.inference_settings import InferenceSettings
from advcam.segment.settings import SegmentSettings
from advcam.segment.task import DeepLabTask, start_deeplab
from advcam.segment.validation import Validation
from advcam.training import FitProgress, fit
from advcam.training.settings import WITHOUT_EFFECT, numbers_depend_on

RUN_MASKS, TRUTH, RUN_CLASSIFIER = "run", "truth", "classifier"
# These say what is measured and shown, not what is trained.
AFTERWARDS = ("score", "crf", "samples", "devices", "weights", *WITHOUT_EFFECT)
PREDICTIONS = {False: f"{FOLDER}/predictions", True: f"{FOLDER}/predictions_crf"}


def segment(run: Run) -> None:
    """Fill ``segmentation`` of the run folder: the network, its training's logs, its labels of the scored splits."""
    config = run.config.segment
    if config.method == "none":
        return
    if config.method == "cct":
        raise SettingsError("segment.method cct is not part of this version: use deeplab")
    sets = splits_of(run)
    masked = training_images(run, sets.train)
    tell(run, masked)
    origin = {"masks": where_from(run), "images": digest(masked)}
    settings = {name: value for name, value in numbers_depend_on(config).items() if name not in AFTERWARDS}
    settings |= {"weights": config.weights, **origin}
    with run.stage("segment", settings, (FOLDER, "metrics.json")) as entry:
        entry |= {"images": len(masked.images), "untrained": list(masked.untrained)}
        entry["result"] = train(run, masked, sets, origin)
        for images in sets.scored.values():
            predict_split(run, images)
    for name, split, scores in network_scores(run):
        say(f"segment: {name} {100 * scores.miou:.1f} mIoU on {split} ({scores.image_count} images)")


@dataclass(frozen=True)
class SplitsOfNetwork:
    """The images that a network is trained on, and those with ground truth that it is measured on, by split."""

    train: ImageSet
    scored: dict[str, ImageSet]


def splits_of(run: Run) -> SplitsOfNetwork:
    """The splits that the settings name, or those that suit the run."""
    config = run.config.segment
    has_lists = run.splits.train is not None
    if config.train is not None:
        train = run.limited(run.image_set(config.train))
    elif config.masks != RUN_MASKS or run.splits.train in run.splits.maps:
        train = run.limited(run.image_set(run.splits.train)) if has_lists else training_sets(run)[0]
    else:
        train = replace(next(iter(run.mapped_sets.values())), records=run.wanted, split=None)
    names = config.score or ((run.splits.val,) if run.splits.val is not None else ())
    scored = {name: run.limited(run.image_set(name)) for name in names}
    if not has_lists and not scored:
        held = training_sets(run)[1]
        scored = {} if held is None else {str(held.split): held}
    found = {name: only_masked(images) for name, images in scored.items()}
    missing = [name for name in config.score if not len(found[name])]
    if missing:
        raise DataError(f"segment.score names {missing[0]}, but no image of it has ground truth: leave it out")
    seen = {record.id for record in train.records}
    overlap = [name for name in config.score if any(record.id in seen for record in found[name].records)]
    if overlap:
        say(f"segment: images of {overlap[0]} are trained on as well, so its figure says nothing about new images")
    return SplitsOfNetwork(train, {name: images for name, images in found.items() if len(images)})


def only_masked(images: ImageSet) -> ImageSet:
    return replace(images, records=tuple(record for record in images.records if record.mask is not None))


def training_images(run: Run, images: ImageSet) -> MaskedImages:
    """The images of a training with the masks that it is asked to learn from."""
    config = run.config.segment
    if config.masks == RUN_MASKS:
        if run.manifest.stages.get("refine", {}).get("status") != "done":
            raise RunError(f"{run.folder.root} has no whole set of masks yet: run `advcam refine` with the same --out")
        images = with_masks(images, run.folder.root / "masks")
    elif config.masks != TRUTH:
        images = with_masks(images, config.masks)
    masked = check_masks(images, skip_bad=run.config.skip_bad)
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


def where_from(run: Run) -> str:
    """The masks in words, as the manifest and the training keep them."""
    asked = run.config.segment.masks
    if asked == RUN_MASKS:
        return "the run's own masks"
    return "ground truth" if asked == TRUTH else f"masks of {asked}"


def digest(masked: MaskedImages) -> str:
    """What tells one set of training masks from another."""
    names = "\n".join(record.id for record in masked.images.records)
    return hashlib.sha256(f"{names}\n{masked.pixels}".encode()).hexdigest()[:16]


def train(run: Run, masked: MaskedImages, sets: SplitsOfNetwork, origin: dict[str, str]) -> dict[str, Any]:
    """Train the network, or go on, and store it; what the manifest keeps of the training."""
    config, folder = run.config.segment, run.folder.root / FOLDER
    trained = replace(
        config, **{name: getattr(SegmentSettings, name) for name in ("score", "crf", "samples", "devices")}
    )
    segmenter, build = start_deeplab(replace(trained, weights=initial_weights(run)), run.class_names)
    validation = None
    if sets.scored:
        validation = Validation(next(iter(sets.scored.values())), config.samples)
    task = DeepLabTask(segmenter, masked.images, trained, validation)
    with FitProgress("segment") as shown:
        result = fit(task, folder, origin=origin, device=run.config.device, devices=config.devices, on_event=shown)
    if not (folder / WEIGHTS_NAME).exists():
        save_network(folder, segmenter, config.method, build)
    return {"updates": result.updates, "seconds": round(result.seconds, 1), "kept": result.kept}


def initial_weights(run: Run) -> str | None:
    """The file behind ``segment.weights``."""
    if run.config.segment.weights != RUN_CLASSIFIER:
        return run.config.segment.weights
    path = run.folder.classifier / WEIGHTS_NAME
    if not path.exists():
        raise RunError(f"segment.weights is classifier, but {path} is not there: run `advcam classify` first")
    return str(path)


def network_scores(run: Run) -> list[tuple[str, str, SegmentationScores]]:
    """Name, split and scores of the network's labels, as far as they are there, and of those after the CRF."""
    results = []
    method = run.manifest.stages["segment"]["settings"]["method"]
    for split, images in splits_of(run).scored.items():
        for crf, kind in PREDICTIONS.items():
            there = [record for record in images.records if run.folder.mask(record.id, kind).exists()]
            if there:
                scores = score_records(run, kind, there)
                results.append((f"{method} + crf" if crf else method, split, scores))
    return results


def predict_split(run: Run, images: ImageSet) -> None:
    """Write the network's labels of a split and, where asked for, those after the CRF."""
    folder = run.folder.root / FOLDER
    segmenter = ready(load(folder, run.class_names), run.device)
    for crf in (False, True) if run.config.segment.crf else (False,):
        kind, made_after = PREDICTIONS[crf], (folder / WEIGHTS_NAME).stat().st_mtime_ns
        missing = [record for record in images.records if not whole(run, record, kind, made_after)]
        files = {record.id: record.image for record in missing}

        def stop(image_id: str, error: DataError) -> None:
            raise error

        labeller = Labeller(segmenter, InferenceSettings(crf=crf), stop)
        with progress(f"segment: labels of {images.split}{' with CRF' if crf else ''}", len(missing)) as advance:
            for batch in labeller.label(labeller.units(files.items()), files.__getitem__):
                for found in batch:
                    write_mask(run.folder.mask(found.id, kind), found.labels)
                advance(len(batch))


def whole(run: Run, record: Record, kind: str, made_after: int) -> bool:
    """True where the label picture is there and younger than the network."""
    path = run.folder.mask(record.id, kind)
    return path.exists() and path.stat().st_mtime_ns > made_after
