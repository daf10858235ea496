"""IRN in a run: labels of what is sure, a network that learns edges from them, the edges of every image, masks by maps
that walk up to them, and one mask per object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional

from advcam.data.masks import read_mask, write_mask
from advcam.data.record import Record
from advcam.data.transforms import scale_image, scaled_size
from advcam.errors import DataError, RunError, SettingsError
from advcam.io.files import write_table
from advcam.io.progress import progress, say
from advcam.models.stored import CONFIG_NAME
from advcam.pipeline.classify import backbone_facts, run_classifier
from advcam.pipeline.keys import key_of
from advcam.pipeline.parts import Batch, Outcome, Wanted, process_count, singles, work_through
from advcam.pipeline.refiner import Labels, Method, Prepared, Subject, confident, confident_mask, labels_by_crf
from advcam.pipeline.run import Run
from advcam.pipeline.scoring import ChosenThreshold, scored_records
from advcam.refine.irn.inference import EdgeMap
from advcam.refine.irn.network import IRNNetwork, cells
from advcam.refine.irn.objects import FoundObjects
from advcam.refine.irn_settings import STRIDE
from advcam.training.settings import numbers_depend_on

# Of no use once the network is whole, and as large as it.
_STATE = "training.pt"
INSTANCES, TABLE = "instances", "instances.csv"
_COLUMNS = ("image", "object", "class", "score", "pixels", "x0", "y0", "x1", "y1")


def _settings(run: Run) -> dict[str, Any]:
    walk = run.config.irn_walk
    swept = {"sweep": asdict(run.config.sweep)} if walk.background == "swept" else {}
    return asdict(walk) | swept | ({"crf": asdict(run.config.crf)} if walk.final_crf else {})


def _prepare(run: Run, kind: str) -> Prepared:
    background = run.config.irn_walk.background
    if background == "swept":
        # Before the training, which takes long.
        swept_records(run, kind)
    network = trained_irn(run, kind)
    make_edges(run, kind)
    chosen = swept_background(run, kind) if background == "swept" else ChosenThreshold(float(background), "fixed")
    return Prepared(chosen, network)


def _labels(run: Run, kind: str, prepared: Prepared) -> Labels:
    from advcam.refine.seeds import dataset_labels, local_seed
    from advcam.refine.unary import unary_from_labels

    assert prepared.threshold is not None
    background = prepared.threshold.value

    def of(subject: Subject) -> UInt8[np.ndarray, "h w"]:
        scores = walked(run, kind, subject)
        local = local_seed(scores, background)
        if run.config.irn_walk.final_crf and scores.any():
            local = labels_by_crf(run, subject, unary_from_labels(local, len(scores) + 1))
        return dataset_labels(local, subject.classes).numpy()

    return of


def _fixed(run: Run) -> float | None:
    background = run.config.irn_walk.background
    return None if isinstance(background, str) else float(background)


IRN = Method(_settings, _prepare, _labels, _fixed, artifacts=("irn",), sections=("irn", "irn_walk"))


# -- the network -----------------------------------------------------------------------------------------------------


def network_facts(run: Run, kind: str) -> dict[str, Any]:
    """What the network of one kind of maps depends on.

    Raises:
        SettingsError: features without weights.
        RunError: there is nothing to train on.
    """
    from advcam.refine.irn.checkpoint import load_irn

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
    return {
        "irn": {name: v for name, v in numbers_depend_on(settings).items() if name != "weights"},
        **label_facts(run),
        "backbone": backbone_facts(run.config.backbone) if initial else None,
        "classifier": None if initial else run.content("classifier", "classify"),
        "maps": run.ledger(f"{kind}/maps").of([record.id for record in training_records(run, kind)]),
    }


def label_facts(run: Run) -> dict[str, Any]:
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
    from advcam.refine.irn.checkpoint import load_irn, save_irn

    settings, name = run.config.irn, f"{kind}/irn"
    folder = run.folder.root / kind / "irn"
    lent = None if settings.weights is None else load_irn(settings.weights)
    with run.making(name, network_facts(run, kind), [name]) as made:
        if made.fresh and (folder / CONFIG_NAME).exists():
            return run.network_content(folder)
        if lent is not None:
            save_irn(folder, lent)
            say(f"irn: nothing to train, the network is {settings.weights}")
        else:
            # Before the labels, which take long: a network that cannot be built is told at once.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(settings.seed)
                network, origin = new_network(run)
            write_labels(run, kind)
            made.entry.result = train(run, kind, network, origin)
        made.entry.content = run.network_content(folder)
    return run.network_content(folder)


def open_irn(run: Run, kind: str) -> IRNNetwork:
    """Always the one on disk: what a run goes on with is then what it began with, to the last bit."""
    from advcam.refine.irn.checkpoint import load_irn

    return load_irn(run.folder.root / kind / "irn").to(run.device).to(memory_format=torch.channels_last)


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
    wanted = Wanted(name, keys, partial(run.folder.mask, kind, step="irn/labels"))
    build = partial(LabelWork, kind=kind)
    work_through(run, [wanted], singles(records), build, "irn labels", processes=process_count(run))


@dataclass(frozen=True)
class LabelWork:
    """Labels of what is sure, image by image."""

    run: Run
    kind: str
    threaded: bool = True

    def load(self, batch: Batch) -> Subject:
        return Subject.read(self.run, batch.records[0], self.kind)

    def make(self, batch: Batch, loaded: Subject) -> UInt8[np.ndarray, "h w"]:
        return confident_mask(self.run, loaded)

    def save(self, batch: Batch, made: UInt8[np.ndarray, "h w"], missing: Any) -> Outcome:
        path = self.run.folder.mask(self.kind, batch.records[0].id, "irn/labels")
        write_mask(path, made)
        return Outcome([(f"{self.kind}/irn/labels", batch.records[0].id, path)])


def train(run: Run, kind: str, network: IRNNetwork, origin: str) -> dict[str, Any]:
    """Train, take the mean displacement, save; returns what there is to say of it."""
    from advcam.refine.irn.checkpoint import save_irn
    from advcam.refine.irn.train import IRNTask, LabelledImage, set_mean_shift
    from advcam.training import FitProgress, fit

    settings, records, folder = run.config.irn, training_records(run, kind), run.folder.root / kind / "irn"
    side = run.config.refine.max_side
    images = [LabelledImage(record.image, run.folder.mask(kind, record.id, "irn/labels"), side) for record in records]
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
    return {
        "updates": result.updates,
        "seconds": round(result.seconds, 1),
        "images": len(images),
        "losses": {name: round(values[-1], 4) for name, values in result.losses.items()},
        "shift": [round(value, 4) for value in network.mean_shift.tolist()],
    }


def new_network(run: Run) -> tuple[IRNNetwork, str]:
    """An IRN with untrained branches, and what its features are, in words."""
    from advcam.models.classifier import build_classifier
    from advcam.models.taps import tapped

    if run.config.irn.features == "classifier":
        classifier = run_classifier(run)
        origin = f"the run's classifier {run.content('classifier', 'classify')}"
    else:
        classifier = build_classifier(run.config.backbone, 1)
        origin = f"{classifier.architecture} {weights_of(classifier.backbone)}"
    return IRNNetwork(tapped(classifier.as_backbone())), origin


def fingerprint(network: IRNNetwork) -> str:
    """What tells one trained IRN from another."""
    taps = network.taps
    return key_of([weights_of(network), taps.architecture, taps.mean, taps.std])


def weights_of(network: torch.nn.Module) -> str:
    """A hash over the weights of a network."""
    import hashlib

    found = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


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
    with run.making(name, found, [name]) as made:
        records = [record for record in run.mapped(kind) if record.classes]
        static, pictures = key_of(found), run.pictures(records)
        keys = {record.id: key_of([static, pictures[record.id]]) for record in records}
        wanted = Wanted(name, keys, partial(edges_path, run, kind))
        build = partial(EdgeWork.of, kind=kind)
        missing, _ = work_through(run, [wanted], singles(records), build, "irn edges", processes=process_count(run))
        made.entry.result = {"images": len(records), "of": len(records), "made": len(missing)}


def edges_path(run: Run, kind: str, image: str) -> Any:
    return run.folder.root / kind / "irn" / "edges" / f"{image}.npz"


@dataclass(frozen=True)
class EdgeWork:
    """Edge maps, image by image: a pass uses all cores, or most of a GPU's memory."""

    run: Run
    kind: str
    network: IRNNetwork
    threaded: bool = False

    @classmethod
    def of(cls, run: Run, kind: str) -> EdgeWork:
        return cls(run, kind, open_irn(run, kind))

    def load(self, batch: Batch) -> UInt8[np.ndarray, "h w 3"]:
        image = Subject.read(self.run, batch.records[0], self.kind).image
        return scale_image(image, self.run.config.irn_walk.scale)

    def make(self, batch: Batch, loaded: UInt8[np.ndarray, "h w 3"]) -> EdgeMap:
        from advcam.refine.irn.inference import edge_map

        return edge_map(self.network, loaded, self.run.config.irn_walk.pad)

    def save(self, batch: Batch, made: EdgeMap, missing: Any) -> Outcome:
        path = edges_path(self.run, self.kind, batch.records[0].id)
        made.save(path)
        return Outcome([(f"{self.kind}/irn/edges", batch.records[0].id, path)])


def stored_edges(run: Run, kind: str, subject: Subject) -> EdgeMap:
    """The edge map of an image in the run folder, one cell per 4 pixels of ``walked_size``.

    Raises:
        DataError: it is of another size than the image.
        RunError: it is missing or broken.
    """
    path = edges_path(run, kind, subject.record.id)
    found, grid = EdgeMap.load(path), grid_of(walked_size(run, subject))
    if found.edge.shape != grid or found.displacement.shape != (2, *grid):
        raise DataError(
            f"{path} is an edge map of {found.edge.shape[1]} x {found.edge.shape[0]} cells, but its image of "
            f"{subject.size[1]} x {subject.size[0]} pixels needs {grid[1]} x {grid[0]}: delete it, and run the same "
            "again"
        )
    return found


def walked(run: Run, kind: str, subject: Subject) -> Float[Tensor, "k h w"]:
    """Walked maps at the size of the image, in [0, 1]; zero where the maps are."""
    from advcam.refine.irn.propagation import image_scores, propagate

    settings = run.config.irn_walk
    maps = small_maps(run, subject)
    if not maps.any():
        return torch.zeros(len(maps), *subject.size)
    edge = torch.from_numpy(stored_edges(run, kind, subject).edge).float()
    found = propagate(
        maps.to(run.device) ** settings.power,
        edge.to(run.device),
        radius=settings.radius,
        beta=settings.beta,
        exp_times=settings.exp_times,
    )
    scores = image_scores(found, walked_size(run, subject)).cpu()
    return scores if scores.shape[1:] == subject.size else resized(scores, subject.size)


def walked_size(run: Run, subject: Subject) -> tuple[int, int]:
    """Height and width at which an image is seen and walked."""
    return scaled_size(subject.size, run.config.irn_walk.scale)


def small_maps(run: Run, subject: Subject) -> Float[Tensor, "k h4 w4"]:
    """The maps on the grid of the edge map: as they are stored, unless the picture is walked at another size."""
    maps, grid = torch.from_numpy(subject.result.maps).float(), grid_of(walked_size(run, subject))
    if maps.shape[1:] == grid or len(maps) == 0:
        return maps
    return resized(maps, grid)


def resized(maps: Float[Tensor, "k _ _"], size: tuple[int, int]) -> Float[Tensor, "k _ _"]:
    """Maps at another height and width, bilinear with half-pixel centres."""
    return functional.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def grid_of(size: tuple[int, int]) -> tuple[int, int]:
    return cells(size[0], STRIDE), cells(size[1], STRIDE)


def swept_background(run: Run, kind: str) -> ChosenThreshold:
    """The background's score that is best on the ground truth of the tuning split."""
    from advcam.evaluate import sweep

    records = swept_records(run, kind)

    def images() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        with progress("irn background", len(records)) as advance:
            for record in records:
                subject = Subject.read(run, record, kind)
                scores, size = walked(run, kind, subject), subject.result.image_size
                if subject.size != size:
                    scores = resized(scores, size)
                yield scores, subject.classes, torch.from_numpy(read_mask(record, size, len(run.class_names)))
                advance()

    found = sweep(images(), len(run.class_names) + 1, run.config.sweep.thresholds)
    return ChosenThreshold(found.best_threshold, "sweep", run.tune_name, found.image_count)


def swept_records(run: Run, kind: str) -> list[Record]:
    """The mapped images of the tuning split that have ground truth.

    Raises:
        DataError: there are none.
    """
    records = [record for record in scored_records(run, run.tune_name) if run.has_maps(kind, record)]
    if not records:
        raise DataError(
            f"irn_walk.background is swept, but {run.config.data} has no masks for {run.tune_name}: take a number"
        )
    return records


# -- one mask per object ---------------------------------------------------------------------------------------------


def instance_facts(run: Run) -> dict[str, Any]:
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
    edges, maps, static = (
        run.ledger(f"{run.kind}/irn/edges"),
        run.ledger(f"{run.kind}/maps"),
        key_of(instance_facts(run)),
    )
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
    with run.making(INSTANCES, found, [INSTANCES]) as made:
        keys = instance_keys(run)
        records = [record for record in run.wanted if record.id in keys]
        wanted = Wanted(INSTANCES, keys, run.folder.objects)
        missing, _ = work_through(run, [wanted], singles(records), ObjectWork, INSTANCES, processes=process_count(run))
        write_objects(run, records)
        made.entry.result = {"images": len(records), "of": len(run.records), "made": len(missing)}


@dataclass(frozen=True)
class ObjectWork:
    """The objects of an image."""

    run: Run
    threaded: bool = True

    def load(self, batch: Batch) -> Subject:
        return Subject.read(self.run, batch.records[0], self.run.kind)

    def make(self, batch: Batch, loaded: Subject) -> FoundObjects:
        from advcam.refine.irn.objects import find_objects

        run, subject = self.run, loaded
        maps, size = small_maps(run, subject), walked_size(run, subject)
        if maps.any():
            edges = stored_edges(run, run.kind, subject)
            edge, displacement = (torch.from_numpy(v).float() for v in (edges.edge, edges.displacement))
        else:
            edge, displacement = torch.zeros(maps.shape[1:]), torch.zeros(2, *maps.shape[1:])
        classes = subject.result.classes.tolist()
        found = find_objects(maps, classes, edge, displacement, size, run.config.instances, run.config.irn_walk)
        if size == subject.result.image_size:
            return found
        height, width = subject.result.image_size
        wide = Image.fromarray(found.numbers.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST)
        return FoundObjects(np.asarray(wide).astype(np.uint16), found.classes, found.scores)

    def save(self, batch: Batch, made: FoundObjects, missing: Any) -> Outcome:
        path = self.run.folder.objects(batch.records[0].id)
        made.save(path)
        return Outcome([(INSTANCES, batch.records[0].id, path)])


def write_objects(run: Run, records: list[Record]) -> None:
    """All objects of all images, one a line; x1 and y1 are one past the last pixel."""
    rows: list[tuple[Any, ...]] = [_COLUMNS]
    for record in records:
        found = FoundObjects.load(run.folder.objects(record.id))
        for index, mask in enumerate(found.masks):
            lines, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            if not len(lines):
                continue
            name, score = run.class_names[found.classes[index]], f"{found.scores[index]:.4f}"
            box = (columns[0], lines[0], columns[-1] + 1, lines[-1] + 1)
            rows.append((record.id, index + 1, name, score, int(mask.sum()), *map(int, box)))
    write_table(run.folder.root / TABLE, rows)
