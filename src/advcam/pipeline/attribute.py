"""The stage that turns images into localization maps, by one process or by several that share it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from advcam.attribute.grid import stored_size
from advcam.data.images import image_size
from advcam.data.record import Record
from advcam.errors import DataError, SettingsError
from advcam.pipeline.classify import run_classifier
from advcam.pipeline.engine import Engine
from advcam.pipeline.flags import write_flags
from advcam.pipeline.group import (
    group_of,
    of_torchrun,
    own_device,
    process_count,
    raise_first,
    reported,
    torchrun_rank,
    torchrun_world,
)
from advcam.pipeline.mapping import Share, follow, has_maps, map_share, pass_over, save
from advcam.pipeline.planning import Size, Unit, plan, shares
from advcam.pipeline.progress import progress, say
from advcam.pipeline.run import Run
from advcam.pipeline.salient import saliency_facts

OUTPUTS = ("maps", "cam", "flagged.csv", "metrics.json")


def attribute(run: Run) -> None:
    """Write ``maps`` of every wanted image and, from the same passes, its plain class activation maps, ``cam``."""
    if run.config.wsol.method != "none":
        from advcam.pipeline.wsol_maps import attribute_for_localization

        if of_torchrun() or run.config.processes not in (None, 1):
            raise SettingsError("a run with wsol.method is mapped by one process: leave out torchrun and --processes")
        attribute_for_localization(run)
        return
    if not run.leads:
        follow(run.config, torchrun_rank(), torchrun_world())
        return
    classifier = run_classifier(run)
    engine = Engine.of(run.config, classifier, run.device)
    # A plain class activation map is what it is: there is no growth that saliency could hold.
    held = saliency_facts(run) if run.config.attribute.method == "advcam" else None
    settings = engine.settings(run.config, classifier) | {"saliency": held}
    with run.stage("attribute", settings, OUTPUTS, keep=("batch_pixels",)) as entry:
        processes = process_count(run.config.processes, run.device)
        # Rounding depends on the batch: what was settled when the folder was begun holds to its end.
        entry["batch_pixels"] = pixels = (
            run.config.attribute.batch_pixels or entry.get("batch_pixels") or engine.batch_pixels(processes)
        )
        missing = frozenset(record.id for record in run.wanted if not has_maps(run, record))
        kept = len(run.wanted) - len(missing)
        entry |= {
            "images": len(run.wanted),
            "made": len(missing),
            "device": str(run.device),
        }
        if kept:
            say(f"attribute: {kept} of {len(run.wanted)} images are there already and kept")
        todo = [unit for unit in units(run, engine.method.views, pixels) if missing.intersection(unit.ids)]
        with (
            group_of(min(processes, max(1, len(todo))), partial(follow, run.config)) as group,
            progress("attribute", len(run.wanted), kept) as advance,
        ):
            entry["processes"] = group.world
            for record in run.wanted:
                if record.id in missing and not record.classes:
                    save_empty(run, record)
                    advance()
            own = group.share(divide(run, todo, missing, pixels, group.world))
            heard = 0

            def listen(count: int = 0) -> bool:
                nonlocal heard
                now = group.heard()
                advance(count + now - heard)
                heard = now
                return not group.given_up()

            engine = engine.moved_to(own_device(run.device, group))
            report = reported(lambda: map_share(run, engine.mapper, engine.method, own, listen))
            reports = group.collect(report, listen)
        for one in reports:
            run.leave_out(None, one.result.problems if one.result else [])
        raise_first(reports)
        unheld = sum(one.result.unheld for one in reports)
        if held and unheld:
            say(f"attribute: {unheld} images were climbed without region D: no saliency map, or one without an object")
        entry["flagged"] = write_flags(run)


def units(run: Run, views: int, pixels: int) -> list[Unit]:
    """The plan over all images with a class; those whose header cannot be read are an error or left out."""
    sizes, problems = [], []
    for record in run.records:
        if record.classes:
            try:
                sizes.append((record.id, image_size(record.image), len(record.classes)))
            except DataError as error:
                problems.append(pass_over(error, run.config.skip_bad))
    run.leave_out(None, problems)
    return plan(sizes, lambda size: max(1, int(pixels / (views * mapped_pixels(size, run)))))


def mapped_pixels(size: Size, run: Run) -> float:
    """Pixels of an image at scale 1, where it is reduced to ``max_side``."""
    return size[0] * size[1] * min(1.0, run.config.attribute.max_side / max(size)) ** 2


def divide(run: Run, todo: Sequence[Unit], missing: frozenset[str], pixels: int, processes: int) -> list[Share]:
    """The units that are left to do, divided among processes by their pixels."""
    records = {record.id: record for record in run.records}
    costs = [
        mapped_pixels(unit.size, run) * sum(len(records[image_id].classes) for image_id in unit.ids) for unit in todo
    ]
    return [
        Share(
            tuple(part),
            {image_id: records[image_id] for unit in part for image_id in unit.ids},
            missing.intersection(image_id for unit in part for image_id in unit.ids),
            pixels,
            run.class_names,
        )
        for part in shares(todo, costs, processes)
    ]


def save_empty(run: Run, record: Record) -> None:
    """The files of an image that shows no class."""
    size = image_size(record.image)
    none = np.zeros((0, *stored_size(size)), np.float16)
    save(run, record, size, maps=none, cam=none, scores=np.zeros(0, np.float32))
