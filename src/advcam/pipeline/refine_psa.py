"""Masks by PSA: AffinityNet learns from the maps which cells belong together, and the maps walk along that."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from advcam.attribute.result import LocalizationMaps
from advcam.data.record import Record
from advcam.errors import DataError, SettingsError
from advcam.models.stored import CONFIG_NAME
from advcam.models.weights import file_digest
from advcam.pipeline.classify import run_classifier
from advcam.pipeline.engine import digest
from advcam.pipeline.progress import progress, say
from advcam.pipeline.refiner import Subject
from advcam.pipeline.run import Run
from advcam.pipeline.threads import in_threads
from advcam.pipeline.thresholds import ChosenThreshold, choose
from advcam.refine.psa.checkpoint import build_affinity_net, load_affinity_net, save_affinity_net
from advcam.refine.psa.inference import image_affinities, walked_scores
from advcam.refine.psa.labels import AffinityLabels
from advcam.refine.psa.network import AffinityNet
from advcam.refine.psa.training import AffinityExample, AffinityTask
from advcam.refine.psa_settings import PSASettings
from advcam.refine.seeds import dataset_labels
from advcam.training import FitProgress, fit
from advcam.training.settings import numbers_depend_on

# Kinds of maps, and the folder of the labels and the network that are made from them.
FOLDER_OF = {"maps": "psa", "cam": "cam_psa"}
# Settings of the walk, which a trained network does not depend on.
OF_THE_WALK = ("alpha", "beta", "log_times", "all_pairs", "final_crf")


def refiner(run: Run, kind: str) -> PSARefiner:
    """For ``refine.method psa``; makes the labels and trains AffinityNet where that is not done yet."""
    psa, chosen = run.config.psa, None
    if psa.margin is not None:
        chosen = choose(run, kind)
        psa = psa.at_threshold(chosen.value)
    network = trained_network(run, kind, psa) if psa.trained is None else load_affinity_net(Path(psa.trained), psa)
    return PSARefiner(psa, network.to(run.device).to(memory_format=torch.channels_last), chosen)


def asked(run: Run) -> dict[str, Any]:
    """What the masks depend on besides the maps, ``refine``, the network and the threshold."""
    chosen_later = () if run.config.psa.margin is None else ("alpha_low", "alpha", "alpha_high")
    return {"psa": {name: v for name, v in numbers_depend_on(run.config.psa).items() if name not in chosen_later}}


@dataclass(frozen=True)
class PSARefiner:
    """The walk of one kind of maps along the affinities of a trained network."""

    psa: PSASettings
    network: AffinityNet = field(repr=False)
    threshold: ChosenThreshold | None = None
    """Where ``psa.margin`` chose the backgrounds by it."""
    _one_at_a_time: Lock = field(default_factory=Lock, repr=False)

    @property
    def settings(self) -> dict[str, Any]:
        facts = (self.network.architecture, self.network.mean, self.network.std)
        return {"psa": numbers_depend_on(self.psa), "network": digest(self.network, facts)}

    def labels(self, subject: Subject) -> UInt8[np.ndarray, "h w"]:
        # An image without a class, or whose maps are all zero, has nothing to spread.
        if not subject.maps.any():
            return np.zeros(subject.size, np.uint8)
        # The feature maps of a network are recorded per pass, so no two passes may cross.
        with self._one_at_a_time:
            links = image_affinities(self.network, subject.image, self.psa)
        scores = walked_scores(links, subject.image, subject.maps, self.psa)
        return dataset_labels(scores.argmax(dim=0).to(torch.uint8), subject.classes).numpy()


def trained_network(run: Run, kind: str, psa: PSASettings) -> AffinityNet:
    """The AffinityNet of one kind of maps: from the run folder, or trained now into it, as a stage of its own."""
    name = FOLDER_OF[kind]
    folder = run.folder.root / name / "network"
    records = learnable(run, kind)
    settings = {
        **{key: value for key, value in numbers_depend_on(psa).items() if key not in OF_THE_WALK},
        "weights_file": None if psa.architecture is None else file_digest(psa.weights),
        "images": len(records),
        "ids": hashlib.sha256("\n".join(record.id for record in records).encode()).hexdigest()[:16],
        "maps": run.manifest.stages["attribute"]["settings"],
    }
    done = run.manifest.stages.get(name, {}).get("status") == "done"
    with run.stage(name, settings, (f"{name}/network",)) as entry:
        if done and (folder / CONFIG_NAME).exists():
            say(f"refine: AffinityNet in {folder} is trained already and kept")
            return load_affinity_net(folder)
        # Before the labels, which take long: a network that cannot be built is told at once.
        network = build_affinity_net(psa, run_classifier(run) if psa.architecture is None else None)
        examples = [AffinityExample(record.image, label_path(run, kind, record)) for record in records]
        task = AffinityTask(network, examples, psa)
        make_labels(run, kind, records, psa)
        origin = {"data": f"{len(records)} images, {settings['ids']}", "maps": kind}
        with FitProgress("refine: AffinityNet") as shown:
            result = fit(task, folder, origin=origin, device=run.config.device, on_event=shown)
        save_affinity_net(folder, network)
        entry |= {"updates": result.updates, "training_seconds": round(result.seconds, 1)}
    return network


def label_path(run: Run, kind: str, record: Record) -> Path:
    """Where the soft labels of an image are kept."""
    return run.folder.root / FOLDER_OF[kind] / "labels" / f"{record.id}.npz"


def learnable(run: Run, kind: str) -> tuple[Record, ...]:
    """The images whose maps are learned from: of ``psa.train_split``, with a map that is not zero everywhere.

    Raises:
        SettingsError: the split is none of those that get maps.
        DataError: there is no such image.
    """
    split = run.config.psa.train_split
    if split is not None and split not in run.mapped_sets:
        raise SettingsError(f"psa.train_split is {split}, which is not one of splits.maps {list(run.mapped_sets)}")
    candidates = run.wanted if split is None else run.limited(run.mapped_sets[split]).records
    found = []
    for record in candidates:
        path = run.folder.maps(record.id, kind)
        if path.exists() and LocalizationMaps.load(path).maps.any():
            found.append(record)
    if not found:
        raise DataError(
            f"{run.folder.root}: none of the {len(candidates)} images to learn affinities from has a map that is not "
            "zero everywhere: run `advcam attribute` first, or look at the classifier"
        )
    if len(found) < len(candidates):
        say(f"refine: {len(candidates) - len(found)} of {len(candidates)} images have no map to learn affinities from")
    return tuple(found)


def make_labels(run: Run, kind: str, records: Sequence[Record], psa: PSASettings) -> None:
    """Write the soft labels of all images that have none yet, as a stage of its own."""
    name = FOLDER_OF[kind]
    settings = {
        "alphas": [psa.alpha_low, psa.alpha_high],
        "crf": asdict(psa.crf),
        "max_side": run.config.refine.max_side,
        "maps": run.manifest.stages["attribute"]["settings"],
    }

    def make(record: Record) -> None:
        subject = Subject.read(run, record, kind)
        alphas = (psa.alpha_low, psa.alpha_high)
        labels = AffinityLabels.make(subject.image, subject.maps, subject.result.classes, alphas, psa.crf)
        labels.save(label_path(run, kind, record))

    with run.stage(f"{name}_labels", settings, (f"{name}/labels",)) as entry:
        todo = [record for record in records if not has_labels(run, kind, record)]
        entry |= {"images": len(records), "made": len(todo)}
        with progress("refine: labels", len(records), len(records) - len(todo)) as advance:
            for _ in in_threads(make, todo, torch.get_num_threads()):
                advance()


def has_labels(run: Run, kind: str, record: Record) -> bool:
    """Whether the labels of an image are there and not older than the maps they are made from."""
    labels, maps = label_path(run, kind, record), run.folder.maps(record.id, kind)
    return labels.exists() and labels.stat().st_mtime_ns >= maps.stat().st_mtime_ns
