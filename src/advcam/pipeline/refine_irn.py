"""Masks by IRN: its network says where edges are, and the maps walk up to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from threading import Lock
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from advcam.data.masks import read_mask
from advcam.data.record import Record
from advcam.data.transforms import scale_image
from advcam.errors import DataError, RunError
from advcam.evaluate import sweep
from advcam.pipeline.irn import fingerprint, trained_irn
from advcam.pipeline.irn_files import EDGES_OF, resized, small_maps, stored_edges, walked_size
from advcam.pipeline.progress import progress
from advcam.pipeline.refine_crf import labels_by_crf
from advcam.pipeline.refiner import Subject
from advcam.pipeline.run import Run
from advcam.pipeline.scoring import scored_records
from advcam.pipeline.thresholds import ChosenThreshold
from advcam.refine.irn.inference import EdgeMap, edge_map
from advcam.refine.irn.network import IRNNetwork
from advcam.refine.irn.propagation import image_scores, propagate
from advcam.refine.seeds import dataset_labels, local_seed
from advcam.refine.unary import unary_from_labels


def refiner(run: Run, kind: str) -> IRNRefiner:
    """For ``refine.method irn``."""
    walk = run.config.irn_walk
    if walk.background == "swept":
        # Before the training, which takes long.
        swept_records(run, kind)
    network = trained_irn(run, kind)
    # A stage of its own, so that edges of other settings are refused, or replaced, as any outputs are.
    seen = {"network": fingerprint(network), "scale": walk.scale, "pad": walk.pad}
    with run.stage(EDGES_OF[kind], seen, (EDGES_OF[kind],)):
        return IRNRefiner(Walker(run, kind, network))


def asked(run: Run) -> dict[str, Any]:
    """What the masks depend on besides the maps, ``refine``, the network and the threshold."""
    walk = run.config.irn_walk
    return {"irn_walk": asdict(walk)} | ({"crf": asdict(run.config.crf)} if walk.final_crf else {})


@dataclass(frozen=True)
class Walker:
    """Edge maps of a run's images, and their maps after the walk."""

    run: Run
    kind: str
    network: IRNNetwork
    _network_lock: Lock = field(default_factory=Lock, repr=False)

    def edges(self, subject: Subject) -> EdgeMap:
        """The edge map of an image: from the run folder, or made and kept there."""
        try:
            return stored_edges(self.run, self.kind, subject)
        except RunError:
            # Missing or broken. One image at a time: on a GPU for its memory, on a CPU since a pass uses all cores.
            settings = self.run.config.irn_walk
            with self._network_lock:
                found = edge_map(self.network, scale_image(subject.image, settings.scale), settings.pad)
            found.save(self.run.folder.maps(subject.record.id, EDGES_OF[self.kind]))
            return found

    def scores(self, subject: Subject) -> Float[Tensor, "k h w"]:
        """Walked maps at the size of the image, in [0, 1]; zero where the maps are."""
        settings = self.run.config.irn_walk
        maps = small_maps(self.run, subject)
        if not maps.any():
            return torch.zeros(len(maps), *subject.size)
        edge = torch.from_numpy(self.edges(subject).edge).float()
        device = self.run.device
        walked = propagate(
            maps.to(device) ** settings.power,
            edge.to(device),
            radius=settings.radius,
            beta=settings.beta,
            exp_times=settings.exp_times,
        )
        scores = image_scores(walked, walked_size(self.run, subject)).cpu()
        return scores if scores.shape[1:] == subject.size else resized(scores, subject.size)


class IRNRefiner:
    """The walked maps beside a background of one value."""

    def __init__(self, walker: Walker) -> None:
        self.walker = walker
        asked = walker.run.config.irn_walk.background
        self.threshold = swept_background(walker) if asked == "swept" else ChosenThreshold(float(asked), "fixed")

    @property
    def settings(self) -> dict[str, Any]:
        return {**asked(self.walker.run), "network": fingerprint(self.walker.network)}

    def labels(self, subject: Subject) -> UInt8[np.ndarray, "h w"]:
        scores, run = self.walker.scores(subject), self.walker.run
        local = local_seed(scores, self.threshold.value)
        if run.config.irn_walk.final_crf and scores.any():
            local = labels_by_crf(run, subject, unary_from_labels(local, len(scores) + 1))
        return dataset_labels(local, subject.classes).numpy()


def swept_background(walker: Walker) -> ChosenThreshold:
    """The background's score that is best on the ground truth of the tuning split."""
    run = walker.run
    records = swept_records(run, walker.kind)

    def images() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        with progress("irn background", len(records)) as advance:
            for record in records:
                yield scored(walker, record)
                advance()

    found = sweep(images(), len(run.class_names) + 1, run.config.sweep.thresholds)
    return ChosenThreshold(found.best_threshold, "sweep", run.tune_name, found.image_count)


def swept_records(run: Run, kind: str) -> list[Record]:
    """The mapped images of the tuning split that have ground truth.

    Raises:
        DataError: there are none.
    """
    records = [r for r in scored_records(run, run.tune_name) if run.folder.maps(r.id, kind).exists()]
    if not records:
        raise DataError(
            f"irn_walk.background is swept, but {run.config.data} has no masks for {run.tune_name}: take a number"
        )
    return records


def scored(walker: Walker, record: Record) -> tuple[Tensor, Tensor, Tensor]:
    """The walked maps of an image at its own size, its classes and its ground truth."""
    subject = Subject.read(walker.run, record, walker.kind)
    scores, size = walker.scores(subject), subject.result.image_size
    if subject.size != size:
        scores = resized(scores, size)
    return scores, subject.classes, torch.from_numpy(read_mask(record, size, len(walker.run.class_names)))
