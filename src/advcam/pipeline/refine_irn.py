"""IRN in a run: labels of what is sure, a network that learns edges from them, the edges of every image, masks by maps
that walk up to them, and one mask per object (the stage ``instances``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from advcam.data.masks import read_mask, write_mask
from advcam.data.record import Record
from advcam.data.transforms import scale_image, scaled_size
from advcam.errors import RunError, SettingsError
from advcam.io.files import write_table
from advcam.io.keys import key_of
from advcam.io.progress import progress, say
from advcam.pipeline.classify import backbone_facts, run_classifier
from advcam.pipeline.config import RunConfig
from advcam.pipeline.keys import Artifact, Facts, Steps, learnt_of, making
from advcam.pipeline.refiner import (
    EachImage,
    Labels,
    MaskSet,
    Method,
    Prepared,
    Subject,
    choose_once,
    confident,
    confident_mask,
    each_image,
    labels_by_crf,
)
from advcam.pipeline.run import Run
from advcam.pipeline.scoring import ChosenThreshold, no_truth, scored_records
from advcam.refine.irn.checkpoint import fingerprint, load_irn, save_irn
from advcam.refine.irn.inference import EdgeMap, bilinear, edge_map, on_grid, walked_scores
from advcam.refine.irn.network import IRNNetwork
from advcam.refine.irn.objects import FoundObjects, find_objects
from advcam.training.settings import numbers_depend_on

# Of no use once the network is whole, and as large as it.
_STATE = "training.pt"
INSTANCES, TABLE = "instances", "instances.csv"
_COLUMNS = ("image", "object", "class", "score", "pixels", "x0", "y0", "x1", "y1")


def _settings(run: Run) -> dict[str, Any]:
    walk = run.config.irn_walk
    swept = {"sweep": asdict(run.config.sweep)} if walk.background == "swept" else {}
    return asdict(walk) | swept | ({"crf": asdict(run.config.crf)} if walk.final_crf else {})


def _check_data(run: Run) -> None:
    if run.config.irn_walk.background == "swept" and not scored_records(run, run.tune_name):
        raise no_truth(run, "irn_walk.background", "take a number")
    if run.config.irn.split is not None:
        run.image_set(run.config.irn.split)


def _prepare(run: Run, masks: MaskSet, known: Facts) -> Prepared:
    # Before the training, which takes long.
    _check_data(run)
    background, kind = run.config.irn_walk.background, masks.kind
    network = trained_irn(run, kind)
    make_edges(run, kind)
    if background == "swept":
        return choose_once(run, masks, known, lambda: swept_background(run, kind), network)
    return Prepared(ChosenThreshold(float(background), "fixed"), network)


def _labels(run: Run, masks: MaskSet, prepared: Prepared) -> Labels:
    from advcam.refine.seeds import dataset_labels, local_seed
    from advcam.refine.unary import unary_from_labels

    assert prepared.threshold is not None
    background = prepared.threshold.value

    def of(subject: Subject) -> UInt8[np.ndarray, "h w"]:
        scores = walked(run, masks.kind, subject)
        local = local_seed(scores, background)
        if run.config.irn_walk.final_crf and scores.any():
            local = labels_by_crf(run, subject, unary_from_labels(local, len(scores) + 1))
        return dataset_labels(local, subject.classes).numpy()

    return of


def _fixed(run: Run) -> float | None:
    background = run.config.irn_walk.background
    return None if isinstance(background, str) else float(background)


# -- the network -----------------------------------------------------------------------------------------------------


def network_facts(run: Run, kind: str) -> Facts:
    """What the network of one kind of maps depends on.

    Raises:
        SettingsError: features without weights.
        RunError: there is nothing to train on.
    """
    settings = run.config.irn
    if settings.weights is not None:
        # Before anything is replaced: it may be the very folder that is.
        return {"network": fingerprint(load_irn(settings.weights))}
    initial = settings.features == "initial"
    if initial and run.config.backbone.weights is None:
        raise SettingsError(
            "irn.features is initial, but backbone.weights is none, and random features show no edges: take "
            "irn.features classifier"
        )
    maps = run.ledger(f"{kind}/maps").of(record.id for record in training_records(run, kind))
    return {
        "irn": {name: v for name, v in numbers_depend_on(settings).items() if name != "weights"},
        **label_facts(run),
        "backbone": backbone_facts(run.config.backbone) if initial else None,
        "classifier": None if initial else run.content("classifier", "classify"),
        "learnt": learnt_of(run, f"{kind}/irn", maps),
    }


def label_facts(run: Run) -> Facts:
    """What the labels depend on that it learns from."""
    refine = run.config.refine
    return {
        "confident": confident(run),
        "unary": refine.unary,
        "max_side": refine.max_side,
        "crf": asdict(run.config.crf),
    }


def trained_irn(run: Run, kind: str) -> str:
    """Train the IRN of one kind of maps, unless it is there; returns the content of the network."""
    settings, name = run.config.irn, f"{kind}/irn"
    folder = run.folder.root / name
    lent = None if settings.weights is None else load_irn(settings.weights)
    with making(run, name, network_facts(run, kind), [name]) as made:
        if not made.fresh:
            if lent is not None:
                save_irn(folder, lent)
                say(f"irn: nothing to train, the network is {settings.weights}")
            else:
                # Before the labels, which take long: a network that cannot be built is told at once.
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(settings.seed)
                    network = new_network(run)
                write_labels(run, kind)
                run.for_one("IRN's training")
                made.entry.result = train(run, kind, network, made.entry.key)
            made.entry.content = run.network_content(folder)
    return run.network_content(folder)


def training_records(run: Run, kind: str) -> list[Record]:
    """The images that IRN is trained on: those with a class and with maps, of the list that it is told to take.

    Raises:
        RunError: none of the images has maps.
    """
    split = run.config.irn.split
    records = run.wanted if split is None else run.limited(run.image_set(split)).records
    found = [record for record in records if record.classes and run.has_maps(kind, record)]
    if not found:
        raise RunError(
            f"{run.folder.root} has no maps of images with a class that IRN could be trained on: run "
            "`advcam attribute` for them, or name another irn.split"
        )
    return found


def write_labels(run: Run, kind: str) -> None:
    """Label maps of all training images: foreground and background that are sure, 255 elsewhere."""
    name, maps, static = f"{kind}/irn/labels", run.ledger(f"{kind}/maps"), key_of(label_facts(run))
    records = training_records(run, kind)
    keys = {record.id: key_of([static, maps.key(record.id)]) for record in records}
    each_image(run, name, keys, records, partial(label_work, kind=kind), "irn labels")


def label_work(run: Run, kind: str) -> EachImage:
    return EachImage(run, kind, f"{kind}/irn/labels", partial(confident_mask, run), write_mask)


def train(run: Run, kind: str, network: IRNNetwork, key: str) -> dict[str, Any]:
    """Train, take the mean displacement, save; returns what there is to say of it."""
    from advcam.refine.irn.train import IRNTask, LabelledImage, set_mean_shift
    from advcam.training import FitProgress, fit

    settings, records, folder = run.config.irn, training_records(run, kind), run.folder.root / kind / "irn"
    side = run.config.refine.max_side
    images = [LabelledImage(record.image, run.folder.file(f"{kind}/irn/labels", record.id), side) for record in records]
    task = IRNTask(network, images, settings)
    with FitProgress("irn") as shown:
        result = fit(task, folder, origin={"key": key}, device=run.config.device, on_event=shown)
    network.to(run.device)
    pictures = (image.read()[0] for image in images)
    with progress("irn mean displacement", len(images)) as advance:
        set_mean_shift(network, pictures, settings.crop, max(1, settings.batch_size // 8), run.device, advance)
    save_irn(folder, network)
    (folder / _STATE).unlink(missing_ok=True)
    return {
        "updates": result.updates,
        "seconds": round(result.seconds, 1),
        "images": len(images),
        "losses": {name: round(values[-1], 4) for name, values in result.losses.items()},
        "shift": [round(value, 4) for value in network.mean_shift.tolist()],
    }


def new_network(run: Run) -> IRNNetwork:
    """An IRN with untrained branches, on the run's classifier or on what that began from."""
    from advcam.models.classifier import build_classifier
    from advcam.models.taps import tapped

    own = run.config.irn.features == "classifier"
    classifier = run_classifier(run) if own else build_classifier(run.config.backbone, 1)
    return IRNNetwork(tapped(classifier.as_backbone()))


# -- edges and the walk ----------------------------------------------------------------------------------------------


def make_edges(run: Run, kind: str) -> None:
    """The edge maps of all images that have maps of a class."""
    walk, name = run.config.irn_walk, f"{kind}/irn/edges"
    found = {
        "network": run.content(f"{kind}/irn", "refine"),
        "scale": walk.scale,
        "pad": walk.pad,
        "max_side": run.config.refine.max_side,
    }
    with making(run, name, found, [name]) as made:
        records = [record for record in run.mapped(kind) if record.classes]
        static = key_of(found)

        def keys(some: Sequence[Record]) -> dict[str, str]:
            return {image: key_of([static, content]) for image, content in run.pictures(some).items()}

        count = each_image(run, name, keys, records, partial(edge_work, kind=kind), "irn edges")
        made.entry.result = {"images": len(records), "of": len(records), "made": count}


def edge_work(run: Run, kind: str) -> EachImage:
    """One after the other: a pass uses all cores, or most of a GPU's memory."""
    # Always the one on disk: what a run goes on with is then what it began with, to the last bit.
    network = load_irn(run.folder.root / kind / "irn").to(run.device).to(memory_format=torch.channels_last)
    walk = run.config.irn_walk

    def one(subject: Subject) -> EdgeMap:
        return edge_map(network, scale_image(subject.image, walk.scale), walk.pad)

    return EachImage(run, kind, f"{kind}/irn/edges", one, threaded=False)


def walked(run: Run, kind: str, subject: Subject) -> Float[Tensor, "k h w"]:
    """Walked maps at the size of the image, in [0, 1]; zero where the maps are."""
    maps, seen = torch.from_numpy(subject.result.maps).float(), seen_at(run, subject)
    if not maps.any():
        return torch.zeros(len(maps), *subject.size)
    edge = torch.from_numpy(EdgeMap.load(run.folder.file(f"{kind}/irn/edges", subject.record.id), seen).edge).float()
    return walked_scores(maps, edge.to(run.device), seen, subject.size, run.config.irn_walk)


def seen_at(run: Run, subject: Subject) -> tuple[int, int]:
    """Height and width at which an image is seen and walked."""
    return scaled_size(subject.size, run.config.irn_walk.scale)


def swept_background(run: Run, kind: str) -> ChosenThreshold:
    """The background's score that is best on the ground truth of the tuning split."""
    from advcam.evaluate import sweep

    records = [record for record in scored_records(run, run.tune_name) if run.has_maps(kind, record)]

    def images() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        with progress("irn background", len(records)) as advance:
            for record in records:
                subject = Subject.read(run, record, kind)
                scores, size = walked(run, kind, subject), subject.result.image_size
                if subject.size != size:
                    scores = bilinear(scores, size)
                yield scores, subject.classes, torch.from_numpy(read_mask(record, size, len(run.class_names)))
                advance()

    found = sweep(images(), len(run.class_names) + 1, run.config.sweep.thresholds)
    return ChosenThreshold(found.best_threshold, "sweep", run.tune_name, found.image_count)


IRN = Method(
    _settings, _prepare, _labels, _fixed, artifact="irn", network=network_facts, output="irn", check_data=_check_data
)


# -- one mask per object ---------------------------------------------------------------------------------------------


def instance_facts(run: Run) -> Facts:
    """What the objects depend on, but for the images and their maps."""
    walk = asdict(run.config.irn_walk)
    return {
        **asdict(run.config.instances),
        "irn_walk": {name: walk[name] for name in ("radius", "beta", "exp_times", "scale", "pad")},
        "network": run.content(f"{run.kind}/irn", "refine --refine.method irn"),
        "max_side": run.config.refine.max_side,
    }


def instance_keys(run: Run) -> dict[str, str]:
    """The key of each image's objects: of the mapped images that have edges, or no class."""
    edges, maps = run.ledger(f"{run.kind}/irn/edges"), run.ledger(f"{run.kind}/maps")
    static = key_of(instance_facts(run))
    records = [r for r in run.mapped(run.kind) if edges.key(r.id) is not None or not r.classes]
    return {r.id: key_of([static, maps.key(r.id), edges.key(r.id)]) for r in records}


def instances(run: Run) -> None:
    """Write ``instances/<id>.npz`` and ``instances.csv``; nothing unless ``instances.method`` asks for it."""
    if run.config.instances.method == "none":
        return
    masks = run.record.done(f"{run.kind}/masks")
    if masks is None or masks.facts["method"] != "irn":
        raise RunError(
            f"{run.folder.root} has no masks by IRN, whose edges instance masks are made from: run "
            "`advcam refine --refine.method irn` with the same --out"
        )
    found = instance_facts(run)
    with making(run, INSTANCES, found, [INSTANCES]) as made:
        keys = instance_keys(run)
        records = [record for record in run.wanted if record.id in keys]
        count = each_image(run, INSTANCES, keys, records, object_work, INSTANCES)
        files = ((record.id, FoundObjects.load(run.folder.file("instances", record.id))) for record in records)
        rows = [(image, *row) for image, objects in files for row in objects.rows(run.class_names)]
        write_table(run.folder.root / TABLE, [_COLUMNS, *rows])
        made.entry.result = {"images": len(records), "of": len(run.records), "made": count}


def object_work(run: Run) -> EachImage:
    config = run.config

    def one(subject: Subject) -> FoundObjects:
        size = seen_at(run, subject)
        maps = on_grid(torch.from_numpy(subject.result.maps).float(), size)
        edge, displacement = torch.zeros(maps.shape[1:]), torch.zeros(2, *maps.shape[1:])
        if maps.any():
            edges = EdgeMap.load(run.folder.file(f"{run.kind}/irn/edges", subject.record.id), size)
            edge, displacement = (torch.from_numpy(v).float() for v in (edges.edge, edges.displacement))
        classes = subject.result.classes.tolist()
        found = find_objects(maps, classes, edge, displacement, size, config.instances, config.irn_walk)
        return found.at_size(subject.result.image_size)

    return EachImage(run, run.kind, INSTANCES, one)


def artifacts(config: RunConfig) -> Iterator[Artifact]:
    if config.instances.method != "none":
        kind = config.attribute.kind
        yield Artifact(INSTANCES, (f"{kind}/maps", f"{kind}/irn"), instance_facts, (INSTANCES,), instance_keys)


def check(config: RunConfig) -> None:
    """IRN's edges will be there."""
    if config.instances.method == "irn" and config.refine.method != "irn":
        raise SettingsError("instances.method irn needs IRN's edges: take refine.method irn as well, or leave it out")


STEPS = Steps(instances, artifacts, check)
