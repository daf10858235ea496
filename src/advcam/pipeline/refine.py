"""The stage that turns localization maps into masks, whichever way they are refined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from advcam.data.masks import voc_palette, write_mask
from advcam.data.record import Record
from advcam.errors import RunError
from advcam.io.files import writing
from advcam.io.progress import say
from advcam.pipeline.keys import key_of, plain
from advcam.pipeline.parts import Batch, Outcome, Wanted, in_threads, process_count, singles, work_through
from advcam.pipeline.refiner import CRF, NONE, Labels, Method, Prepared, Subject
from advcam.pipeline.run import Run, StaleError
from advcam.pipeline.saliency import saliency_facts, saliency_keys, settled
from advcam.pipeline.scoring import read_prediction
from advcam.report.overlays import mask_overlay
from advcam.review.truth import corrected_files


def _irn() -> Method:
    from advcam.pipeline.refine_irn import IRN

    return IRN


def _chain() -> Method:
    from advcam.pipeline.refine_chain import CHAIN

    return CHAIN


def _psa() -> Method:
    from advcam.pipeline.refine_psa import PSA

    return PSA


# By the name in ``refine.method``.
METHODS: dict[str, Callable[[], Method]] = {
    "crf": lambda: CRF,
    "none": lambda: NONE,
    "irn": _irn,
    "psa": _psa,
    **dict.fromkeys(("region_means", "regions", "affinity", "pamr", "chain"), _chain),
}
# Of the settings of ``refine``, what changes the masks of the CRF on the way.
OF_STEPS = ("unary", "max_side")
OF_MASKS = ("rule", "unary", "ambiguity", "max_side")


@dataclass(frozen=True)
class MaskSet:
    """One set of masks: of a kind of maps, the finished ones, or those of the CRF on the way to them."""

    kind: str
    step: str
    """Its folder below the kind's: "masks" or "crf"."""
    method: str
    """As ``refine.method``."""

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.step}"

    @property
    def finished(self) -> bool:
        return self.step == "masks"


def mask_sets(run: Run) -> tuple[MaskSet, ...]:
    """The sets of masks that the settings ask for, in the order in which they are made."""
    config = run.config.refine
    sets = []
    for kind in dict.fromkeys((run.kind, run.baseline) if config.baseline else (run.kind,)):
        if config.steps and config.method not in ("crf", "none"):
            sets.append(MaskSet(kind, "crf", "crf"))
        sets.append(MaskSet(kind, "masks", config.method))
    return tuple(sets)


def settings_of(run: Run, masks: MaskSet) -> dict[str, Any]:
    """What is known of a set of masks before anything is chosen or trained for it."""
    refine = asdict(run.config.refine)
    return {
        "method": masks.method,
        "refine": {name: refine[name] for name in (OF_MASKS if masks.finished else OF_STEPS)},
        "settings": METHODS[masks.method]().settings(run),
        "saliency": saliency_facts(run) if masks.finished and run.config.refine.ambiguity else None,
    }


def facts(run: Run, masks: MaskSet, prepared: Prepared) -> dict[str, Any]:
    """What a set of masks depends on, but for the images and their maps."""
    threshold = None if prepared.threshold is None else prepared.threshold.value
    return settings_of(run, masks) | {"threshold": threshold, "network": prepared.network, **prepared.facts}


def keys_of(run: Run, masks: MaskSet, found: dict[str, Any], records: Sequence[Record]) -> dict[str, str]:
    """The key of each image's mask."""
    static, maps = key_of(found), run.ledger(f"{masks.kind}/maps")
    held = saliency_keys(run) if found["saliency"] is not None else {}
    return {r.id: key_of([static, maps.key(r.id), held.get(r.id)]) for r in records}


def current_facts(run: Run, kind: str, step: str) -> dict[str, Any]:
    """What masks depend on as things are, without choosing a threshold or training anything again.

    What was chosen from the maps holds as long as the maps do.
    """
    masks = next(masks for masks in mask_sets(run) if (masks.kind, masks.step) == (kind, step))
    entry = run.record.artifacts.get(masks.name)
    found = settings_of(run, masks)
    method = METHODS[masks.method]()
    network = next((run.record.artifacts.get(f"{kind}/{name}") for name in method.artifacts), None)
    if entry is None:
        return found
    known = {name: value for name, value in entry.facts.items() if name not in found}
    if network is not None:
        known["network"] = network.content
    chosen_by = (entry.result.get("threshold") or {}).get("method", "")
    if (fixed := method.fixed(run)) is not None:
        known["threshold"] = fixed
    elif entry.result.get("chosen_on") not in (None, chosen_on(run, masks, chosen_by)):
        known["threshold"] = "to be chosen on the maps that are there now"
    return found | known


def chosen_on(run: Run, masks: MaskSet, method: str) -> str:
    """The state of what a threshold was chosen on: the maps and, by a sweep, the masks that a person corrected."""
    made = run.ledger(f"{masks.kind}/maps").of([record.id for record in run.mapped(masks.kind)])
    files = corrected_files(run.wanted, run.folder.root) if method == "sweep" else {}
    return key_of([made, run.fingerprints.of(files)]) if files else made


def current_keys(run: Run, kind: str, step: str) -> dict[str, str]:
    """The key that the mask of each mapped image must have."""
    masks = next(masks for masks in mask_sets(run) if (masks.kind, masks.step) == (kind, step))
    return keys_of(run, masks, current_facts(run, kind, step), run.mapped(kind))


def refine(run: Run) -> None:
    """Write the masks of the run's maps and, where it is asked for, of the baseline and of the steps between."""
    sets = mask_sets(run)
    for masks in sets:
        if run.record.done(f"{masks.kind}/maps") is None:
            raise RunError(
                f"{run.folder.root} has no whole set of maps yet: run `advcam attribute` with the same --out"
            )
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
        why = run.why_stale(masks.name, again, [masks.name])
        if why and not run.config.overwrite:
            raise StaleError(run.folder.root, masks.name, why)


def make(run: Run, masks: MaskSet) -> None:
    """Make what is missing of one set of masks."""
    method = METHODS[masks.method]()
    prepared = method.prepare(run, masks.kind)
    chosen = prepared.threshold
    if chosen is not None:
        say(f"refine: background threshold {chosen.value:.2f} for {masks.name}, {chosen.source()}")
    found = facts(run, masks, prepared)
    with run.making(masks.name, found, [masks.name]) as made:
        records = run.mapped(masks.kind)
        if without := len(run.wanted) - len(records):
            say(f"refine: {without} images have no maps yet and get no mask: run `advcam attribute` first")
        wanted = Wanted(masks.name, keys_of(run, masks, found, records), partial(_file, run, masks))
        build = partial(MaskWork.of, masks=masks, prepared=prepared)
        missing, _ = work_through(run, [wanted], singles(records), build, "refine", processes=process_count(run))
        made.entry.result = {
            "images": len(records),
            "of": len(run.records),
            "made": len(missing),
            "kind": masks.kind,
            "method": masks.method,
            "threshold": None if chosen is None else asdict(chosen),
            "chosen_on": None if chosen is None or chosen.method == "fixed" else chosen_on(run, masks, chosen.method),
            "final_crf": bool(found["settings"].get("final_crf")),
            "chain": found["settings"].get("chain"),
        }


def _file(run: Run, masks: MaskSet, image: str) -> Any:
    return run.folder.mask(masks.kind, image, masks.step)


@dataclass(frozen=True)
class MaskWork:
    """Makes and writes masks, image by image."""

    run: Run
    masks: MaskSet
    labels: Labels
    threaded: bool = True

    @classmethod
    def of(cls, run: Run, masks: MaskSet, prepared: Prepared) -> MaskWork:
        return cls(run, masks, METHODS[masks.method]().labels(run, masks.kind, prepared))

    def load(self, batch: Batch) -> Subject:
        return Subject.read(self.run, batch.records[0], self.masks.kind)

    def make(self, batch: Batch, loaded: Subject) -> UInt8[np.ndarray, "H W"]:
        mask = resized(self.labels(loaded), loaded.result.image_size)
        return settled(self.run, loaded.record, mask) if self.masks.finished else mask

    def save(self, batch: Batch, made: UInt8[np.ndarray, "H W"], missing: Any) -> Outcome:
        record = batch.records[0]
        path = _file(self.run, self.masks, record.id)
        write_mask(path, made)
        if self.masks.finished:
            self.run.folder.overlay(self.masks.kind, record.id).unlink(missing_ok=True)
        return Outcome([(self.masks.name, record.id, path)])


def resized(mask: UInt8[np.ndarray, "h w"], size: tuple[int, int]) -> UInt8[np.ndarray, "H W"]:
    """A mask at another height and width, nearest pixels."""
    if mask.shape == size:
        return mask
    return np.asarray(Image.fromarray(mask).resize((size[1], size[0]), Image.Resampling.NEAREST))


def draw_overlays(run: Run) -> None:
    """Write the masks over their images, to look at, where there is no such picture yet."""
    ledger = run.ledger(f"{run.kind}/masks")
    todo = [
        record
        for record in run.mapped(run.kind)
        if ledger.key(record.id) is not None and not run.folder.overlay(run.kind, record.id).exists()
    ]

    def draw(record: Record) -> None:
        subject = Subject.read(run, record, run.kind)
        mask = resized(read_prediction(run.folder.mask(run.kind, record.id)), subject.size)
        with writing(run.folder.overlay(run.kind, record.id)) as temporary:
            Image.fromarray(mask_overlay(subject.image, mask, voc_palette())).save(temporary, "JPEG", quality=90)

    for _ in in_threads(draw, todo, torch.get_num_threads()):
        pass
