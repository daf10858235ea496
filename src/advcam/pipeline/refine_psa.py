"""Masks by PSA: AffinityNet learns from the maps which cells belong together, and the maps walk along that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from advcam.data.record import Record
from advcam.errors import DataError, SettingsError
from advcam.io.files import contents_digest
from advcam.io.keys import key_of
from advcam.io.progress import say
from advcam.models.stored import CONFIG_NAME, WEIGHTS_NAME
from advcam.pipeline.classify import run_classifier, weights_fact
from advcam.pipeline.keys import Facts, learnt_of, making
from advcam.pipeline.refiner import (
    EachImage,
    Labels,
    MaskSet,
    Method,
    Prepared,
    Subject,
    check_swept_seed,
    choose_once,
    each_image,
    fixed_seed,
)
from advcam.pipeline.run import Run
from advcam.pipeline.scoring import choose
from advcam.refine.psa.network import AffinityNet
from advcam.refine.psa_settings import PSASettings
from advcam.training.settings import numbers_depend_on

# Settings of the walk, which a trained network does not depend on.
OF_THE_WALK = ("alpha", "beta", "log_times", "all_pairs", "final_crf")
NO_NUMBERS_OF_THE_NETWORK = (*OF_THE_WALK, "trained", "weights")


def _settings(run: Run) -> dict[str, Any]:
    psa = run.config.psa
    found = {name: getattr(psa, name) for name in (*OF_THE_WALK, "margin")}
    # The threshold decides it then.
    if psa.margin is not None:
        del found["alpha"]
    if psa.trained is not None:
        found["trained"] = trained_digest(Path(psa.trained))
    return found | ({"crf": asdict(psa.crf)} if psa.final_crf else {})


def _check_data(run: Run) -> None:
    split = run.config.psa.train_split
    if split is not None and split not in run.mapped_sets:
        raise SettingsError(f"psa.train_split is {split}, which is not one of splits.maps {list(run.mapped_sets)}")
    if run.config.psa.margin is not None:
        check_swept_seed(run)


def _prepare(run: Run, masks: MaskSet, known: Facts) -> Prepared:
    _check_data(run)
    psa, found = run.config.psa, Prepared()
    if psa.margin is not None:
        found = choose_once(run, masks, known, lambda: choose(run, masks.kind))
        assert found.threshold is not None
        psa = psa.at_threshold(found.threshold.value)
    if psa.trained is not None:
        # What it is not is told at once.
        open_network(run, masks.kind)
        return found
    return replace(found, network=trained_network(run, masks.kind, psa))


def _labels(run: Run, masks: MaskSet, prepared: Prepared) -> Labels:
    from advcam.refine.psa.inference import image_affinities, walked_scores
    from advcam.refine.seeds import dataset_labels

    psa = run.config.psa
    if prepared.threshold is not None:
        psa = psa.at_threshold(prepared.threshold.value)
    network = open_network(run, masks.kind).to(run.device).to(memory_format=torch.channels_last)
    one_at_a_time = Lock()

    def of(subject: Subject) -> UInt8[np.ndarray, "h w"]:
        # An image without a class, or whose maps are all zero, has nothing to spread.
        if not subject.maps.any():
            return np.zeros(subject.size, np.uint8)
        # The feature maps of a network are recorded per pass, so no two passes may cross.
        with one_at_a_time:
            affinities = image_affinities(network, subject.image, psa)
        scores = walked_scores(affinities, subject.image, subject.maps, psa)
        return dataset_labels(scores.argmax(dim=0).to(torch.uint8), subject.classes).numpy()

    return of


def _fixed(run: Run) -> float | None:
    return None if run.config.psa.margin is None else fixed_seed(run)


def network_folder(run: Run, kind: str) -> Path:
    return run.folder.root / kind / "psa" / "network"


def open_network(run: Run, kind: str) -> AffinityNet:
    """The network of one kind of maps, or the one that ``psa.trained`` names."""
    from advcam.refine.psa.checkpoint import load_affinity_net

    trained = run.config.psa.trained
    return load_affinity_net(network_folder(run, kind) if trained is None else Path(trained), run.config.psa)


def trained_digest(path: Path) -> str | None:
    """The content of a trained network, whatever its place; None where it is not there."""
    files = {name: path / name for name in (WEIGHTS_NAME, CONFIG_NAME)} if path.is_dir() else {"": path}
    return contents_digest(files) if all(file.is_file() for file in files.values()) else None


def network_facts(run: Run, kind: str, psa: PSASettings, records: Sequence[Record]) -> Facts:
    """What the network of one kind of maps depends on."""
    own = psa.architecture is None
    maps = run.ledger(f"{kind}/maps").of(record.id for record in records)
    return {
        "psa": {name: v for name, v in numbers_depend_on(psa).items() if name not in NO_NUMBERS_OF_THE_NETWORK},
        "weights": run.content("classifier", "classify") if own else weights_fact(psa.weights),
        "max_side": run.config.refine.max_side,
        "learnt": learnt_of(run, f"{kind}/psa", maps),
    }


def current_facts(run: Run, kind: str) -> Facts:
    """What the network depends on as things are; the threshold that was chosen holds as long as the maps do."""
    psa = run.config.psa
    masks = run.record.artifacts.get(f"{kind}/masks")
    if psa.margin is not None and masks is not None and masks.result.get("threshold"):
        psa = psa.at_threshold(masks.result["threshold"]["value"])
    return network_facts(run, kind, psa, learnable(run, kind))


def trained_network(run: Run, kind: str, psa: PSASettings) -> str:
    """Train the AffinityNet of one kind of maps, unless it is there; returns the content of the network."""
    from advcam.refine.psa.checkpoint import build_affinity_net, save_affinity_net
    from advcam.refine.psa.training import AffinityExample, AffinityTask
    from advcam.training import FitProgress, fit

    name, folder = f"{kind}/psa", network_folder(run, kind)
    records = learnable(run, kind)
    found = network_facts(run, kind, psa, records)
    with making(run, name, found, [f"{name}/network"]) as made:
        if made.fresh:
            say(f"refine: AffinityNet in {folder} is trained already and kept")
            return run.network_content(folder)
        # Before the labels, which take long: a network that cannot be built is told at once.
        network = build_affinity_net(psa, run_classifier(run) if psa.architecture is None else None)
        examples = [AffinityExample(record.image, run.folder.file(f"{name}/labels", record.id)) for record in records]
        task = AffinityTask(network, examples, psa)
        make_labels(run, kind, records, psa)
        run.for_one("AffinityNet's training")
        with FitProgress("refine: AffinityNet") as shown:
            result = fit(task, folder, origin={"key": made.entry.key}, device=run.config.device, on_event=shown)
        save_affinity_net(folder, network)
        made.entry.result = {
            "updates": result.updates,
            "training_seconds": round(result.seconds, 1),
            "images": len(records),
        }
        made.entry.content = run.network_content(folder)
    return run.network_content(folder)


def learnable(run: Run, kind: str) -> tuple[Record, ...]:
    """The images whose maps are learned from: of ``psa.train_split``, with a map that is not zero everywhere.

    Raises:
        DataError: there is no such image.
    """
    split = run.config.psa.train_split
    candidates = run.wanted if split is None else run.limited(run.mapped_sets[split]).records
    found = [record for record in candidates if run.has_maps(kind, record) and run.read_maps(kind, record).maps.any()]
    if not found:
        raise DataError(
            f"{run.folder.root}: none of the {len(candidates)} images to learn affinities from has a map that is not "
            "zero everywhere: run `advcam attribute` first, or look at the classifier"
        )
    if len(found) < len(candidates):
        say(f"refine: {len(candidates) - len(found)} of {len(candidates)} images have no map to learn affinities from")
    return tuple(found)


def make_labels(run: Run, kind: str, records: Sequence[Record], psa: PSASettings) -> None:
    """Write the soft labels of all images that have none yet."""
    name, maps = f"{kind}/psa/labels", run.ledger(f"{kind}/maps")
    static = key_of([psa.alpha_low, psa.alpha_high, asdict(psa.crf), run.config.refine.max_side])
    keys = {record.id: key_of([static, maps.key(record.id)]) for record in records}
    build = partial(label_work, kind=kind, psa=psa)
    each_image(run, name, keys, records, build, "refine: labels")


def label_work(run: Run, kind: str, psa: PSASettings) -> EachImage:
    from advcam.refine.psa.labels import AffinityLabels

    def one(subject: Subject) -> AffinityLabels:
        alphas = (psa.alpha_low, psa.alpha_high)
        return AffinityLabels.make(subject.image, subject.maps, subject.result.classes, alphas, psa.crf)

    return EachImage(run, kind, f"{kind}/psa/labels", one)


PSA = Method(
    _settings,
    _prepare,
    _labels,
    _fixed,
    artifact="psa",
    network=current_facts,
    asks_network=lambda config: config.psa.trained is None,
    output="psa/network",
    check_data=_check_data,
)
