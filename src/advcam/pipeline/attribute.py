"""The stage that turns images into localization maps: climbed ones and, from the same passes, plain ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from advcam.attribute.settings import climbs
from advcam.data.record import Record
from advcam.errors import SettingsError
from advcam.io.files import read_table, write_table
from advcam.io.keys import key_of
from advcam.io.progress import say
from advcam.pipeline.classify import taken_digest
from advcam.pipeline.config import RunConfig
from advcam.pipeline.keys import Artifact, Steps, making, refuse_stale, settle
from advcam.pipeline.mapping import Mapping, SquareMapping, is_wsol
from advcam.pipeline.parts import Plan, Wanted
from advcam.pipeline.run import Run
from advcam.pipeline.saliency import saliency_facts, saliency_keys
from advcam.pipeline.through import process_count, work_through
from advcam.report.wording import calibrated, wide_maps

FLAG_COLUMNS = ("image", "class", "probability", "reason")
# Plain maps wider than this left climbing nothing to add in docs/results.md; those of 0.07 gained 4 points.
WIDE = 0.2
# Below it the classifier would not name the class itself.
SEEN = 0.5


def facts(run: Run, kind: str) -> dict[str, Any]:
    """What the maps of a kind depend on, but for the images."""
    config = run.config.attribute
    found: dict[str, Any] = {"classifier": run.content("classifier", "classify"), "precision": config.precision}
    if config.map != "cam":
        found |= {"map": config.map, "layer": list(config.layer)}
    if is_wsol(run):
        found |= {"side": run.config.wsol.crop, "adapt": config.adapt}
    else:
        found |= {"scales": list(config.scales), "max_side": config.max_side}
        if config.window:
            found["window"] = config.window
        if config.guide:
            found["guide"] = {"content": taken_digest(Path(config.guide)), "scales": list(config.guide_scales)}
    if climbs(kind):
        # Without the setting a run made before it was there has the same key.
        climb = {name: value for name, value in asdict(run.config.climb).items() if name != "calibrate" or value}
        found |= {"climb": climb, "adapt": config.adapt, "batch_pixels": config.batch_pixels}
        found["saliency"] = None if is_wsol(run) else saliency_facts(run)
    return found


def keys(run: Run, kind: str, records: Sequence[Record] | None = None) -> dict[str, str]:
    """The key of each image's maps, of the wanted ones unless told: of the classes that it is labelled with, from the
    picture that it is now."""
    records = run.wanted if records is None else records
    static, pictures = key_of(facts(run, kind)), run.pictures(records)
    held = saliency_keys(run) if climbs(kind) and not is_wsol(run) else {}
    return {r.id: key_of([static, pictures[r.id], r.classes, held.get(r.id)]) for r in records}


def attribute(run: Run) -> None:
    """Write the maps of every wanted image, of the run's kind and of the baseline's."""
    square = is_wsol(run)
    check_data(run)
    found = {kind: facts(run, kind) for kind in kinds(run.config)}
    # Before the baseline, whose maps may be fresh, is begun.
    refuse_stale(run, f"{run.kind}/maps", found[run.kind], [f"{run.kind}/maps"])
    wanted = [Wanted(f"{kind}/maps", partial(keys, run, kind)) for kind in found]
    if square:
        wanted.append(Wanted(f"{run.kind}/scores", wanted[0].keys))
    with ExitStack() as stack:
        entries = {k: stack.enter_context(making(run, f"{k}/maps", found[k], [f"{k}/maps"])).entry for k in run.kinds}
        kind_of_mapping: type[Mapping | SquareMapping] = SquareMapping if square else Mapping
        mapping = kind_of_mapping.of(run, run.class_names)
        # Rounding depends on the batch: what was settled when the folder was begun holds to its end.
        pixels = settle(
            run,
            [f"{kind}/maps" for kind in run.kinds],
            "batch_pixels",
            lambda: run.config.attribute.batch_pixels or mapping.batch_pixels(),
        )
        plan = Plan(run.records, partial(mapping.plan, run, pixels))
        build = partial(_build, square=square, class_names=run.class_names, batch_pixels=pixels)
        if isinstance(mapping, Mapping):
            mapping = replace(mapping, pixels=pixels)
            if run.config.climb.calibrate and climbs(run.kind):
                chosen = settle(run, [f"{run.kind}/maps"], "calibrated", mapping.calibrated)
                say(f"attribute: {calibrated(chosen)}")
                mapping, build = mapping.with_climb(chosen), partial(build, chosen=chosen)
        done = work_through(run, wanted, plan, run.wanted, build, "attribute", mapping)
        if (unheld := done.told.get("unheld")) and found[run.kind].get("saliency"):
            say(f"attribute: {unheld} images were climbed without region D: no saliency map, or one without an object")
        now = {"images": len(run.wanted), "of": len(run.records), "device": str(run.device), **mapping.described}
        for kind, entry in entries.items():
            entry.result = now | ({} if kind == run.kind else {"kind": kind, "climb": None})
        entries[run.kind].result |= {
            "made": done.made,
            "processes": process_count(run),
            "flagged": write_flags(run),
        }
        if climbs(run.kind) and (width := width_of(run)) is not None:
            entries[run.kind].result["width"] = width
            if width > WIDE:
                say(f"attribute: {wide_maps(width)}")


def _build(run: Run, *, square: bool, **settled: Any) -> Mapping | SquareMapping:
    """A process's own network; a function by itself, since methods of classes do not travel to every engine."""
    return (SquareMapping if square else Mapping).of(run, **settled)


def check(config: RunConfig) -> None:
    """The guide is there, and nothing that it cannot guide; nothing is calibrated that is not climbed whole."""
    if config.climb.calibrate and config.wsol.method != "none":
        raise SettingsError("climb.calibrate is for whole images, not for runs of localization: leave it out")
    if config.attribute.guide is None:
        return
    if config.wsol.method != "none":
        raise SettingsError("attribute.guide is for whole images, not for runs of localization: leave it out")
    taken_digest(Path(config.attribute.guide), "attribute.guide")


def check_data(run: Run) -> None:
    """Refuse a guide of other classes, and what a localization run cannot map: images of several classes."""
    if run.config.attribute.guide is not None:
        from advcam.models.checkpoint import load_classifier

        load_classifier(run.config.attribute.guide, run.class_names)
    if is_wsol(run):
        from advcam.classify.wsol.task import check_single_class

        for images in run.mapped_sets.values():
            check_single_class(images)


def kinds(config: RunConfig) -> tuple[str, ...]:
    """The kinds of maps of a run, its own first."""
    return tuple(dict.fromkeys((config.attribute.kind, config.attribute.map)))


def artifacts(config: RunConfig) -> Iterator[Artifact]:
    for kind in kinds(config):
        held = ("saliency",) if climbs(kind) and config.saliency.source != "none" else ()
        yield Artifact(
            f"{kind}/maps",
            ("classifier", *held),
            partial(facts, kind=kind),
            (f"{kind}/maps",),
            partial(keys, kind=kind),
        )


STEPS = Steps(attribute, artifacts, check, check_data)


def width_of(run: Run) -> float | None:
    """How wide the plain maps are, mean over the images (``LocalizationMaps.width``)."""
    kind = run.config.attribute.map
    found = [run.read_maps(kind, record).width for record in run.mapped(kind)]
    kept = [width for width in found if width == width]
    return round(sum(kept) / len(kept), 4) if kept else None


# -- images whose classes the classifier does not see: listed, never hidden ------------------------------------------


@dataclass(frozen=True)
class Flag:
    """A known class of an image that the classifier does not see."""

    image: str
    class_name: str
    probability: float
    reason: str


def write_flags(run: Run) -> int:
    """Write ``flagged.csv`` from the maps of all wanted images; returns the number of images in it."""
    flags = [flag for record in run.mapped(run.kind) for flag in flags_of(run, record)]
    rows = [(flag.image, flag.class_name, f"{flag.probability:.4f}", flag.reason) for flag in flags]
    write_table(run.folder.flagged, [FLAG_COLUMNS, *rows])
    return len({flag.image for flag in flags})


def flags_of(run: Run, record: Record) -> list[Flag]:
    """The classes of one image that the classifier gives less than one half, or of which it finds no trace."""
    result = run.read_maps(run.kind, record)
    found = []
    for index, probability in zip(result.classes.tolist(), result.scores.tolist(), strict=True):
        if index in result.unseen:
            reason = "no trace: the map is zero everywhere"
        elif probability < SEEN:
            reason = "the classifier would not name it"
        else:
            continue
        found.append(Flag(record.id, run.class_names[index], probability, reason))
    return found


def read_flags(path: Path) -> list[Flag]:
    """What ``write_flags`` wrote; nothing where it has not run, or where the table is damaged."""
    try:
        rows = read_table(path, FLAG_COLUMNS)
        return [Flag(row["image"], row["class"], float(row["probability"]), row["reason"]) for row in rows]
    except (OSError, ValueError):
        return []
