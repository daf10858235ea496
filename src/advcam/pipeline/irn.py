"""The stage that trains IRN on a run's maps: labels of what is sure, a network, its mean displacement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from advcam.data.masks import write_mask
from advcam.data.record import Record
from advcam.errors import RunError, SettingsError
from advcam.models.classifier import build_classifier
from advcam.models.stored import CONFIG_NAME
from advcam.models.taps import tapped
from advcam.models.weights import file_digest
from advcam.pipeline import engine
from advcam.pipeline.classify import run_classifier
from advcam.pipeline.irn_files import EDGES_OF, LABELS_OF, NETWORK_OF
from advcam.pipeline.progress import progress, say
from advcam.pipeline.refine_crf import confident_mask
from advcam.pipeline.refiner import Subject
from advcam.pipeline.run import Run
from advcam.pipeline.threads import in_threads
from advcam.refine.irn.checkpoint import load_irn, save_irn
from advcam.refine.irn.network import IRNNetwork
from advcam.refine.irn.train import IRNTask, LabelledImage, set_mean_shift
from advcam.training import FitProgress, fit
from advcam.training.settings import numbers_depend_on

# Of no use once the network is whole, and as large as it.
_STATE = "training.pt"


def trained_irn(run: Run, kind: str) -> IRNNetwork:
    """The IRN of one kind of maps, trained first where that is not done, on the run's device."""
    settings = run.config.irn
    folder = run.folder.root / NETWORK_OF[kind]
    lent = None
    if settings.weights is not None:
        # Before anything is replaced: it may be the very folder that is.
        lent = load_irn(settings.weights)
        described: dict[str, Any] = {"weights": settings.weights, "network": fingerprint(lent)}
    else:
        if settings.features == "initial" and run.config.backbone.weights is None:
            raise SettingsError(
                "irn.features is initial, but backbone.weights is none, and random features show no edges: take "
                "irn.features classifier"
            )
        described = {
            "irn": {name: value for name, value in numbers_depend_on(settings).items() if name != "weights"},
            "maps": run.manifest.stages["attribute"]["settings"],
            "confident": [run.config.seed.confident_foreground, run.config.seed.confident_background],
            "unary": run.config.refine.unary,
            "crf": asdict(run.config.crf),
            "max_side": run.config.refine.max_side,
            "backbone": asdict(run.config.backbone) if settings.features == "initial" else None,
            "weights_file": file_digest(run.config.backbone.weights) if settings.features == "initial" else None,
            "images": len(training_records(run, kind)),
        }
    before = run.manifest.stages.get(NETWORK_OF[kind], {})
    done, known = before.get("status") == "done", before.get("result")
    with run.stage(NETWORK_OF[kind], described, (NETWORK_OF[kind], LABELS_OF[kind], EDGES_OF[kind])) as entry:
        if done and (folder / CONFIG_NAME).exists():
            entry["result"] = known
        elif lent is not None:
            save_irn(folder, lent)
            say(f"irn: nothing to train, the network is {settings.weights}")
        else:
            # Before the labels, which take long: a network that cannot be built is told at once.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(settings.seed)
                network, origin = new_network(run)
            write_labels(run, kind)
            entry["result"] = train(run, kind, folder, network, origin)
    # Always the one on disk: what a run goes on with is then what it began with, to the last bit.
    return load_irn(folder).to(run.device).to(memory_format=torch.channels_last)


def training_records(run: Run, kind: str) -> list[Record]:
    """The images that IRN is trained on: those with a class and with maps, of the list that it is told to take.

    Raises:
        RunError: none of the images has maps.
    """
    split = run.config.irn.split
    records = run.wanted if split is None else run.limited(run.image_set(split)).records
    found = [record for record in records if record.classes and run.folder.maps(record.id, kind).exists()]
    if not found:
        raise RunError(
            f"{run.folder.root} has no maps of images with a class that IRN could be trained on: run "
            "`advcam attribute` for them, or name another irn.split"
        )
    return found


def labels_path(run: Run, kind: str, record: Record) -> Path:
    return run.folder.mask(record.id, LABELS_OF[kind])


def write_labels(run: Run, kind: str) -> None:
    """Label maps of all training images: foreground and background that are sure, 255 elsewhere."""
    records = training_records(run, kind)
    todo = [record for record in records if not run.folder.has_mask(record, LABELS_OF[kind], kind)]

    def make(record: Record) -> None:
        write_mask(labels_path(run, kind, record), confident_mask(run, Subject.read(run, record, kind)))

    with progress("irn labels", len(records), len(records) - len(todo)) as advance:
        for _ in in_threads(make, todo, torch.get_num_threads()):
            advance()


def train(run: Run, kind: str, folder: Path, network: IRNNetwork, origin: str) -> dict[str, Any]:
    """Train, take the mean displacement, save; returns what the manifest keeps of it."""
    settings, records = run.config.irn, training_records(run, kind)
    side = run.config.refine.max_side
    images = [LabelledImage(record.image, labels_path(run, kind, record), side) for record in records]
    task = IRNTask(network, images, settings)
    with FitProgress("irn") as shown:
        result = fit(task, folder, origin={"network": origin}, device=run.config.device, on_event=shown)

    def pictures() -> Iterator[np.ndarray]:
        for image in images:
            yield image.read()[0]

    network.to(run.device)
    with progress("irn mean displacement", len(images)) as advance:
        set_mean_shift(network, pictures(), settings.crop, max(1, settings.batch_size // 8), run.device, advance)
    save_irn(folder, network)
    (folder / _STATE).unlink(missing_ok=True)
    last = {name: round(values[-1], 4) for name, values in result.losses.items()}
    shift = [round(value, 4) for value in network.mean_shift.tolist()]
    seconds = round(result.seconds, 1)
    return {
        "updates": result.updates,
        "seconds": seconds,
        "images": len(images),
        "losses": last,
        "shift": shift,
    }


def new_network(run: Run) -> tuple[IRNNetwork, str]:
    """An IRN with untrained branches, and what its features are, in words."""
    if run.config.irn.features == "classifier":
        classifier = run_classifier(run)
        origin = f"the run's classifier {engine.fingerprint(classifier)}"
    else:
        classifier = build_classifier(run.config.backbone, 1)
        origin = f"{classifier.architecture} {engine.digest(classifier.backbone, (classifier.mean, classifier.std))}"
    return IRNNetwork(tapped(classifier.as_backbone())), origin


def fingerprint(network: IRNNetwork) -> str:
    """What tells one trained IRN from another."""
    taps = network.taps
    return engine.digest(network, (taps.architecture, taps.mean, taps.std))
