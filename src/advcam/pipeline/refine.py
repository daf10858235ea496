"""The stage that turns localization maps into masks, whichever way they are refined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from advcam.data.masks import voc_palette, write_mask
from advcam.data.record import Record
from advcam.errors import DataError
from advcam.io.files import writing
from advcam.io.keys import key_of, plain
from advcam.io.progress import say
from advcam.pipeline.attribute import kinds
from advcam.pipeline.classify import check_weights
from advcam.pipeline.config import RunConfig
from advcam.pipeline.engines import in_threads
from advcam.pipeline.keys import Artifact, Facts, StaleError, Steps, keep_learnt, making, why_stale
from advcam.pipeline.refine_chain import CHAIN
from advcam.pipeline.refine_irn import IRN
from advcam.pipeline.refine_psa import PSA
from advcam.pipeline.refiner import (
    CRF,
    NONE,
    EachImage,
    MaskSet,
    Method,
    Prepared,
    Subject,
    asked_threshold,
    by_windows,
    each_image,
    held_choice,
    note_chosen_on,
)
from advcam.pipeline.run import Run
from advcam.pipeline.saliency import saliency_facts, saliency_keys, settled
from advcam.pipeline.scoring import read_prediction
from advcam.report.overlays import mask_overlay
from advcam.segment.inference import resized_labels

# By the name in ``refine.method``.
METHODS: dict[str, Method] = {
    **{"crf": CRF, "none": NONE, "irn": IRN, "psa": PSA},
    **dict.fromkeys(("region_means", "regions", "affinity", "pamr", "chain"), CHAIN),
}
# Of the settings of ``refine``, what changes the masks of the CRF on the way.
OF_STEPS = ("unary", "max_side", "window")
OF_MASKS = ("rule", "unary", "ambiguity", "max_side", "window")
# A mask is one byte for each pixel: background, the classes, and 255.
MOST_CLASSES = 254


def mask_sets(config: RunConfig) -> tuple[MaskSet, ...]:
    """The sets of masks that the settings ask for, in the order in which they are made."""
    asked, sets = config.refine, []
    for kind in kinds(config) if asked.baseline else kinds(config)[:1]:
        if asked.steps and asked.method not in ("crf", "none"):
            sets.append(MaskSet(kind, "crf", "crf"))
        sets.append(MaskSet(kind, "masks", asked.method))
    return tuple(sets)


def settings_of(run: Run, masks: MaskSet) -> dict[str, Any]:
    """What is known of a set of masks before anything is chosen or trained for it."""
    refine = asdict(run.config.refine)
    return {
        "method": masks.method,
        "refine": {name: refine[name] for name in (OF_MASKS if masks.finished else OF_STEPS)},
        "settings": METHODS[masks.method].settings(run),
        "saliency": saliency_facts(run) if masks.finished and run.config.refine.ambiguity else None,
    }


def keys_of(run: Run, masks: MaskSet, found: Facts | None = None) -> dict[str, str]:
    """The key of the mask of each mapped image, as things are unless told."""
    found = current_facts(run, masks) if found is None else found
    static, maps = key_of(found), run.ledger(f"{masks.kind}/maps")
    held = saliency_keys(run) if found["saliency"] is not None else {}
    return {r.id: key_of([static, maps.key(r.id), held.get(r.id)]) for r in run.mapped(masks.kind)}


def current_facts(run: Run, masks: MaskSet) -> Facts:
    """What masks depend on as things are, without choosing a threshold or training anything again."""
    entry, found = run.record.artifacts.get(masks.name), settings_of(run, masks)
    method = METHODS[masks.method]
    if entry is None:
        return found
    known = {name: value for name, value in entry.facts.items() if name not in found}
    if known.get("network") is not None:
        known["network"] = run.content(f"{masks.kind}/{method.artifact}", "refine", f"{masks.kind}/{method.output}")
    if (fixed := method.fixed(run)) is not None:
        known["threshold"] = fixed
    elif known.get("threshold") and not held_choice(run, masks, found | {"network": known.get("network")}):
        known["threshold"] = "to be chosen on the maps that are there now"
    return found | known


def refine(run: Run) -> None:
    """Write the masks of the run's maps and, where it is asked for, of the baseline and of the steps between."""
    sets = mask_sets(run.config)
    for masks in sets:
        run.need(f"{masks.kind}/maps", "attribute")
        # Before a network is trained for masks that are refused afterwards.
        refuse_early(run, masks)
    for masks in sets:
        make(run, masks)
    if run.config.refine.overlays:
        draw_overlays(run)


def refuse_early(run: Run, masks: MaskSet) -> None:
    """Refuse masks made with other settings before anything else is begun; what is chosen later is not compared."""
    entry = run.record.artifacts.get(masks.name)
    if entry is not None:
        known = settings_of(run, masks)
        again = entry.facts | plain(known)
        why = why_stale(run, masks.name, again, [masks.name])
        if why and not run.config.overwrite:
            raise StaleError(run.folder.root, masks.name, why)


def make(run: Run, masks: MaskSet) -> None:
    """Make what is missing of one set of masks."""
    known = settings_of(run, masks)
    prepared = METHODS[masks.method].prepare(run, masks, known)
    chosen = prepared.threshold
    if chosen is not None:
        say(f"refine: background threshold {chosen.value:.2f} for {masks.name}, {chosen.source()}")
    found = known | {"threshold": None if chosen is None else chosen.value, "network": prepared.network}
    with making(run, masks.name, found, [masks.name]) as made:
        if chosen is not None and chosen.method != "fixed" and not prepared.held:
            note_chosen_on(run, masks, chosen)
            keep_learnt(run, masks.name)
        records = run.mapped(masks.kind)
        if without := len(run.wanted) - len(records):
            say(f"refine: {without} images have no maps yet and get no mask: run `advcam attribute` first")
        keys = keys_of(run, masks, found)
        build = partial(mask_work, masks=masks, prepared=prepared)
        count = each_image(run, masks.name, keys, records, build, "refine")
        made.entry.result = {
            "images": len(records),
            "of": len(run.records),
            "made": count,
            "kind": masks.kind,
            "method": masks.method,
            "threshold": None if chosen is None else asdict(chosen),
            "asked": plain(asked_threshold(run)),
            "final_crf": bool(found["settings"].get("final_crf")),
            "chain": found["settings"].get("chain"),
        }


def mask_work(run: Run, masks: MaskSet, prepared: Prepared) -> EachImage:
    """Makes and writes masks, image by image."""
    labels = METHODS[masks.method].labels(run, masks, prepared)

    def one(subject: Subject) -> UInt8[np.ndarray, "H W"]:
        mask = resized_labels(by_windows(labels, subject, run.config.refine.window), subject.result.image_size)
        if masks.finished:
            run.folder.file(f"{masks.kind}/overlays", subject.record.id).unlink(missing_ok=True)
        return settled(run, subject.record, mask) if masks.finished else mask

    return EachImage(run, masks.kind, masks.name, one, write_mask, run.config.refine.window)


def draw_overlays(run: Run) -> None:
    """Write the masks over their images, to look at, where there is no such picture yet."""
    ledger = run.ledger(f"{run.kind}/masks")
    todo = [
        record
        for record in run.mapped(run.kind)
        if ledger.key(record.id) is not None and not run.folder.file(f"{run.kind}/overlays", record.id).exists()
    ]

    def draw(record: Record) -> None:
        subject = Subject.read(run, record, run.kind)
        mask = resized_labels(
            read_prediction(run, record, run.folder.file(f"{run.kind}/masks", record.id)), subject.size
        )
        with writing(run.folder.file(f"{run.kind}/overlays", record.id)) as temporary:
            Image.fromarray(mask_overlay(subject.image, mask, voc_palette())).save(temporary, "JPEG", quality=90)

    for _ in in_threads(draw, todo, torch.get_num_threads()):
        pass


def artifacts(config: RunConfig) -> Iterator[Artifact]:
    if config.wsol.method != "none":
        return
    method, known = METHODS[config.refine.method], set()
    for masks in mask_sets(config):
        kind, trained = masks.kind, f"{masks.kind}/{method.artifact}"
        if method.network is not None and method.asks_network(config) and kind not in known:
            known.add(kind)
            made_from, output = (f"{kind}/maps", "classifier"), f"{kind}/{method.output}"
            yield Artifact(trained, made_from, partial(method.network, kind=kind), (output,))
        own = (trained,) if masks.finished and method.artifact else ()
        held = ("saliency",) if config.refine.ambiguity and masks.finished else ()
        yield Artifact(
            masks.name,
            (f"{kind}/maps", *own, *held),
            partial(current_facts, masks=masks),
            (masks.name,),
            partial(keys_of, masks=masks),
        )


def check(config: RunConfig) -> None:
    """The network of the method is there."""
    if config.refine.method == "irn":
        check_weights("irn.weights", None, config.irn.weights)
    if config.refine.method == "psa":
        if config.psa.trained is not None:
            check_weights("psa.trained", None, config.psa.trained)
        elif config.psa.architecture is not None:
            check_weights("psa.weights", config.psa.architecture, config.psa.weights)


def check_data(run: Run) -> None:
    """The classes fit into a mask, and the method has what it needs."""
    if len(run.class_names) > MOST_CLASSES:
        raise DataError(
            f"{run.config.data} has {len(run.class_names)} classes, and a mask holds at most {MOST_CLASSES}: take "
            "fewer of them, or make boxes with --wsol.method"
        )
    METHODS[run.config.refine.method].check_data(run)


STEPS = Steps(refine, artifacts, check, check_data)
