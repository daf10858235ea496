"""The stage that turns localization maps into masks, whichever way they are refined (see ``refiner.py``)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from advcam.data.files import writing
from advcam.data.masks import voc_palette, write_mask
from advcam.data.record import Record
from advcam.errors import RunError
from advcam.pipeline.progress import progress, say
from advcam.pipeline.refiner import CRF_MASKS_OF, MASKS_OF, MaskSet, Refiner, Subject, asked_of, mask_sets, refiner_of
from advcam.pipeline.run import Run
from advcam.pipeline.salient import saliency_facts, settled
from advcam.pipeline.threads import in_threads
from advcam.report.overlays import mask_overlay

OUTPUTS = (*MASKS_OF.values(), *CRF_MASKS_OF.values(), "overlays", "metrics.json")

Job = tuple[Record, MaskSet]


def refine(run: Run) -> None:
    """Write ``masks`` and, where the settings ask for it, those of the baseline and of the steps between."""
    stage = run.manifest.stages.get("attribute", {})
    if stage.get("status") != "done":
        raise RunError(f"{run.folder.root} has no whole set of maps yet: run `advcam attribute` with the same --out")
    sets = mask_sets(run)
    settings = {
        **asdict(run.config.refine),
        "sets": {masks.folder: asked_of(run, masks) for masks in sets},
        "saliency": saliency_facts(run) if run.config.refine.ambiguity else None,
        "maps": stage["settings"],
    }
    # Before a network is trained for masks that are refused afterwards.
    run.changes("refine", settings, OUTPUTS, partly=True)
    refiners = {masks.folder: refiner_of(run, masks) for masks in sets}
    settings["sets"] = {masks.folder: description(masks, refiners[masks.folder]) for masks in sets}
    for masks in sets:
        chosen = refiners[masks.folder].threshold
        if chosen is not None:
            say(f"refine: background threshold {chosen.value:.2f} for {masks.folder}, {chosen.source()}")
    with run.stage("refine", settings, OUTPUTS) as entry:
        jobs = [(record, masks) for record in run.wanted for masks in sets if has_maps(run, record, masks)]
        todo = [job for job in jobs if not run.folder.has_mask(job[0], job[1].folder, job[1].maps)]
        entry |= {"images": len(run.wanted), "made": len(todo)}
        without = len(run.wanted) * len(sets) - len(jobs)
        if without:
            say(f"refine: {without // len(sets)} images have no maps yet and get no mask: run `advcam attribute` first")
        if len(todo) < len(jobs):
            say(f"refine: {len(jobs) - len(todo)} of {len(jobs)} masks are there already and kept")
        with progress("refine", len(jobs), len(jobs) - len(todo)) as advance:
            for _ in in_threads(MaskMaker(run, refiners), todo, torch.get_num_threads()):
                advance()


def description(masks: MaskSet, refiner: Refiner) -> dict:
    """How a set of masks is made, as the manifest has it."""
    chosen = refiner.threshold
    return {
        "maps": masks.maps,
        "method": masks.method,
        "threshold": None if chosen is None else asdict(chosen),
        **refiner.settings,
    }


def has_maps(run: Run, record: Record, masks: MaskSet) -> bool:
    return run.folder.maps(record.id, masks.maps).exists()


@dataclass(frozen=True)
class MaskMaker:
    """Makes and writes the mask of one image."""

    run: Run
    refiners: dict[str, Refiner]

    def __call__(self, job: Job) -> None:
        record, masks = job
        subject = Subject.read(self.run, record, masks.maps)
        mask = self.refiners[masks.folder].labels(subject)
        if mask.shape != subject.result.image_size:
            height, width = subject.result.image_size
            mask = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
        if masks.folder in MASKS_OF.values():
            mask = settled(self.run, record, mask)
        if self.run.config.refine.overlays and masks.folder == MASKS_OF["maps"]:
            self.write_overlay(subject, mask)
        write_mask(self.run.folder.mask(record.id, masks.folder), mask)

    def write_overlay(self, subject: Subject, mask: UInt8[np.ndarray, "H W"]) -> None:
        """The picture with its mask over it, at the size at which it was refined."""
        height, width = subject.size
        small = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
        with writing(self.run.folder.overlay(subject.record.id)) as temporary:
            Image.fromarray(mask_overlay(subject.image, small, voc_palette())).save(temporary, "JPEG", quality=90)
