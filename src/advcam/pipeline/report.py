"""The stage that writes ``report.html`` from what the other stages left in the run folder."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from jaxtyping import UInt8
from PIL import Image

from advcam.attribute.settings import ClimbSettings, climbs
from advcam.data.images import read_image
from advcam.data.masks import read_mask, resized_labels, voc_palette
from advcam.data.record import Record
from advcam.evaluate.metrics import read_metrics
from advcam.export.corrected import Corrected
from advcam.export.source import REVIEW
from advcam.io.files import write_text
from advcam.io.keys import plain
from advcam.io.progress import duration, progress, say
from advcam.localize.detection import read_boxes
from advcam.pipeline.attribute import WIDE, Flag, read_flags
from advcam.pipeline.config import RunConfig
from advcam.pipeline.evaluate import measured, scored
from advcam.pipeline.keys import Artifact, Steps, making
from advcam.pipeline.mapping import map_of_run
from advcam.pipeline.record import Entry
from advcam.pipeline.refiner import full_maps
from advcam.pipeline.run import Run
from advcam.pipeline.saliency import held_regions, reduced_saliency, salient_region
from advcam.pipeline.scoring import ChosenThreshold, read_prediction, scored_records
from advcam.report.analyses import analysis_sections
from advcam.report.box_cases import cases, distribution
from advcam.report.facts import changed_settings, data_fact, false_area_facts, instance_facts, stage_facts
from advcam.report.figures import NAMES, Headline, groups, headline, name_of_masks, read_figures
from advcam.report.gains import chains
from advcam.report.gallery import LONG_SIDE, Card, Subject, class_colour, draw_card
from advcam.report.growth import CLIMBED_SIDE, Strip, climb_rows, draw_strip
from advcam.report.hints import Situation, next_steps
from advcam.report.localization import BoxSection, section
from advcam.report.overlays import mask_overlay
from advcam.report.page import Fact, FlaggedClass, Page, StageTime, render
from advcam.report.panels import class_chart, classifier_chart, curve_panels, edges
from advcam.report.pictures import picture, reduce_picture, reduced_size
from advcam.report.selection import choose_images
from advcam.report.tiles import Tile, image_iou, small_picture
from advcam.report.training import training_section
from advcam.report.wording import (
    Notice,
    claim,
    claim_details,
    classifier_notice,
    counted,
    doubts,
    not_measured,
    place,
    wide_maps,
)
from advcam.review.table import by_image, read_table

NAME = STAGE = "report"
WORST, BOX_SHOTS = 8, 12
TRAININGS = (("Classifier", "classifier"), ("Segmentation network", "segmentation"))


def report(run: Run) -> None:
    """Write ``report.html``: whatever the run folder holds so far, and nothing of what it does not."""
    with making(run, NAME, {"shown": measured(run)}, ["report.html"], always=True):
        write_text(run.folder.report, render(page(run)))
    say(f"report: {run.folder.report}")


def page(run: Run) -> Page:
    """All that the page shows."""
    metrics = read_metrics(run.folder.metrics)
    figures = read_figures(metrics)
    found = headline(figures)
    known = {record.id for record in run.wanted}
    flags = [
        flag for flag in read_flags(run.folder.flagged) if flag.image in known and flag.class_name in run.class_names
    ]
    flags = sorted(flags, key=lambda flag: flag.probability)
    cards, strips = pictures(run, flags)
    classifier = entry_of(run, "classifier").result or None
    palette = voc_palette()
    with_masks = any(card.masks for card in cards)
    names, truth = run.class_names, sum(len(scored_records(run, split)) for split in run.mapped_sets)
    boxes = box_section(run, metrics)
    said = (claim(found), claim_details(found)) if found else (not_measured(truth)[0], not_measured(truth)[1:])
    hints = next_steps(situation(run, found, figures, flags, truth, bool(edges(metrics))))
    if boxes is not None:
        said, hints = (boxes.claim, []), []
    return Page(
        title=title(run),
        summary=summary(run),
        made=time.strftime("%Y-%m-%d %H:%M"),
        claim=said[0],
        claim_details=said[1],
        headline=found,
        notices=notices(run, metrics, found, edges(metrics), classifier),
        facts=facts(run) + instance_facts(metrics) + false_area_facts(metrics),
        groups=groups(figures),
        chains=chains(figures),
        class_chart=class_chart(found) if found else None,
        boxes=boxes,
        curve_panels=curve_panels(metrics, figures),
        cards=cards,
        truth_outlined=any(card.has_truth for card in cards),
        hatched=any(card.hatched for card in cards),
        strips=strips,
        analyses=analysis_sections(run.folder.root / "analysis"),
        **everything(run),
        classifier=classifier_chart(classifier),
        flagged=[FlaggedClass(**asdict(flag)) for flag in flags],
        flagged_images=len({flag.image for flag in flags}),
        left_out=list(run.record.content.left_out.items()),
        hints=hints,
        legend=[(name, class_colour(index, palette)) for index, name in enumerate(names)] if with_masks else (),
        stages=[
            StageTime(name, entry.status, entry.seconds, duration(entry.seconds))
            for name, entry in run.record.artifacts.items()
            if name != STAGE
        ],
        command=f"advcam run --out {shlex.quote(str(run.folder.root))}",
        changed=changed_settings(plain(run.config), plain(RunConfig())),
        config=yaml.safe_dump(plain(run.config), sort_keys=False, allow_unicode=True),
        versions=versions(run),
    )


def entry_of(run: Run, name: str) -> Entry:
    """What is recorded of an artifact; an empty entry where it was not begun."""
    return run.record.artifacts.get(name) or Entry("", {})


def title(run: Run) -> str:
    """The name of the data set: that of its folder."""
    path = Path(run.config.data or "").absolute()
    return path.parent.name if path.is_file() else path.name


def counts(run: Run) -> dict[str, int]:
    """Images of each split that take part."""
    return {split: len(run.limited(images)) for split, images in run.mapped_sets.items()}


def network(run: Run) -> str:
    """The architecture of the classifier that is there, or of the one that is asked for."""
    return entry_of(run, "classifier").result.get("architecture", run.config.backbone.architecture)


def summary(run: Run) -> str:
    """The run in one line."""
    where = " and ".join(place(split, count) for split, count in counts(run).items())
    return f"{name_of_masks(run.kind)} with {network(run)} on {where}, {counted(len(run.class_names), 'class')}."


def facts(run: Run) -> list[Fact]:
    """What was run, in lines."""
    kind = next(iter(run.mapped_sets.values())).format
    return [
        data_fact(str(run.config.data), kind, counts(run), len(run.class_names)),
        *stage_facts(run.record.artifacts, run.kind, network(run)),
        Fact("Run folder", str(run.folder.root)),
        Fact("Begun", run.record.content.created),
    ]


def versions(run: Run) -> list[tuple[str, str]]:
    """What the run was made with."""
    content = run.record.content
    found = list(content.versions.items()) + list(content.platform.items())
    git = content.git
    return found if git is None else [*found, ("commit", git["commit"] + ("" if git["clean"] else ", with changes"))]


def notices(
    run: Run,
    metrics: dict[str, Any] | None,
    found: Headline | None,
    edges: Sequence[str],
    classifier: dict[str, Any] | None,
) -> list[Notice]:
    """What a reader must know first."""
    judgement = None if not classifier else classifier_notice(classifier["level"], classifier["sentence"])
    limit = (metrics or {}).get("limit") or run.config.limit
    width = entry_of(run, f"{run.kind}/maps").result.get("width", 0.0)
    wide = [Notice("note", "Wide maps", wide_maps(width))] if width > WIDE else []
    return ([] if judgement is None else [judgement]) + list(run.notices) + wide + doubts(found, edges, limit)


def situation(
    run: Run, found: Headline | None, figures: Sequence[Any], flags: Sequence[Flag], truth: int, at_edge: bool
) -> Situation:
    """What the hints depend on."""
    return Situation(
        out=shlex.quote(run.config.out),
        method=run.kind,
        masks=len(run.ledger(f"{run.kind}/masks").lines),
        flagged=len({flag.image for flag in flags}),
        classifier_level=entry_of(run, "classifier").result.get("level"),
        epochs=run.config.classify.epochs,
        ground_truth=truth,
        limit=run.config.limit,
        figures=figures,
        headline=found,
        edges=at_edge,
    )


def pictures(run: Run, flags: Sequence[Flag]) -> tuple[list[Card], list[Strip]]:
    """The gallery and the strips."""
    there = {record.id: record for record in run.mapped(run.kind)}
    splits: dict[str, str] = {}
    for split, images in run.mapped_sets.items():
        splits |= {record.id: split for record in images.records if record.id not in splits}
    warned = {flag.image for flag in flags}
    classes = {image_id: record.classes for image_id, record in there.items()}
    chosen = choose_images(classes, [flag.image for flag in flags], run.config.report.gallery)
    calm = choose_images({key: own for key, own in classes.items() if own and key not in warned}, [], len(classes))
    climbed = calm[: run.config.report.strips] if can_climb(run) else []
    cards = []
    with progress(STAGE, len(chosen) + len(climbed)) as advance:
        for image_id in chosen:
            own = [flag for flag in flags if flag.image == image_id]
            subject = read_subject(run, there[image_id], splits[image_id], own)
            cards.append(draw_card(subject, run.class_names, voc_palette()))
            advance()
        strips = []
        for strip in grow(run, [there[image_id] for image_id in climbed]):
            strips.append(strip)
            advance()
    return cards, strips


def everything(run: Run) -> dict[str, Any]:
    """All images with their masks, the boxes and the trainings, as far as there are."""
    queue, kept = by_image(read_table(run.folder.root / REVIEW)), Corrected(run.folder.root)
    flagged = {flag.image for flag in read_flags(run.folder.flagged)}
    split_of = {record.id: split for split, images in run.mapped_sets.items() for record in images.records}
    there = [record for record in run.wanted if run.folder.file(f"{run.kind}/masks", record.id).exists()]
    shown = there[: run.config.report.images]
    tiles = []
    with progress(f"{STAGE}: images", len(shown)) as advance:
        for record in shown:
            mask = read_prediction(run, record, run.folder.file(f"{run.kind}/masks", record.id))
            truth = None if record.mask is None else read_mask(record, mask.shape)
            iou = None if truth is None else image_iou(mask, truth)
            own = queue.get(record.id, [])
            worst = max(own, key=lambda entry: entry.doubt, default=None)
            decision = next((entry.decision for entry in own if entry.decision), "")
            overlay: Any = run.folder.file(f"{run.kind}/overlays", record.id)
            if truth is not None and kept.has(record.id):
                # What is shown is what counts: the corrected mask, which is the truth that the run's is held against.
                overlay = mask_overlay(read_image(record.image), truth, voc_palette())
                before = "" if iou in (None, 1.0) else f", IoU {100 * iou:.0f} before"
                iou, decision = None, f"{decision or 'corrected'}{before}"
            elif not overlay.exists():
                overlay = mask_overlay(read_image(record.image), mask, voc_palette())
            tiles.append(
                Tile(
                    record.id,
                    split_of[record.id],
                    tuple(run.class_names[index] for index in record.classes),
                    small_picture(overlay),
                    iou if iou is None else round(iou, 4),
                    worst.doubt if worst else None,
                    worst.reasons if worst else (),
                    decision,
                    record.id in flagged,
                )
            )
            advance()
    trainings = [training_section(said, run.folder.root / name) for said, name in TRAININGS]
    boxes = [record.id for record in run.wanted if run.folder.file("box_overlays", record.id).exists()]
    listed = read_boxes(run.folder.boxes) if run.folder.boxes.exists() else []
    pictures = {name: read_image(run.folder.file("box_overlays", name)) for name in boxes[:BOX_SHOTS]}
    return {
        "tiles": tiles,
        "more_images": len(there) - len(shown),
        "trainings": [training for training in trainings if training is not None],
        "box_shots": [
            picture(name, f"boxes in {name}", reduce_picture(pixels, reduced_size(pixels.shape[:2], LONG_SIDE)))
            for name, pixels in pictures.items()
        ],
        "box_total": len(listed),
        "box_images": len({box.image for box in listed}),
    }


def read_subject(run: Run, record: Record, split: str, flags: Sequence[Flag]) -> Subject:
    """Read what the card of one image shows, and bring it to the size of the page's pictures."""
    image = read_image(record.image)
    size = reduced_size(image.shape[:2], LONG_SIDE)
    maps, masks = {}, run.ledger(f"{run.kind}/masks")
    for kind in run.kinds:
        if run.has_maps(kind, record):
            result = run.read_maps(kind, record)
            maps[name_of_masks(kind)] = full_maps(result, size).numpy()
    mask = run.folder.file(f"{run.kind}/masks", record.id)
    has_mask = masks.key(record.id) is not None and mask.exists()
    return Subject(
        name=record.id,
        split=split,
        image=reduce_picture(image, size),
        classes=tuple(result.classes.tolist()),
        probabilities=tuple(result.scores.tolist()),
        maps=maps,
        steps=step_masks(run, record, size),
        edges=edge_picture(run, record, size),
        mask=resized_labels(read_prediction(run, record, mask), size) if has_mask else None,
        truth=None if record.mask is None else resized_labels(read_mask(record, image.shape[:2]), size),
        saliency=reduced_saliency(run, record, size),
        warnings=tuple(f"{flag.class_name}: {flag.reason} (probability {flag.probability:.2f})" for flag in flags),
        flagged_classes=tuple(run.class_names.index(flag.class_name) for flag in flags),
    )


def can_climb(run: Run) -> bool:
    """Whether the images were climbed, and the classifier that did is there."""
    maps = entry_of(run, f"{run.kind}/maps")
    same = maps.facts.get("classifier") == entry_of(run, "classifier").content
    return climbs(run.kind) and maps.result.get("climb") is not None and same


def grow(run: Run, records: Sequence[Record]) -> Iterator[Strip]:
    """Climb some images once more, at scale 1, to show how their maps grow."""
    if not records:
        return
    # All steps are shown, also those of a pair that was stopped.
    settings = ClimbSettings(**entry_of(run, f"{run.kind}/maps").result["climb"])
    map_, _ = map_of_run(run)
    if len(map_.mean) != 3:
        return
    held = entry_of(run, f"{run.kind}/maps").facts.get("saliency") is not None
    shown: set[int] = set()
    for record in records:
        # One class of each image, and as many different ones as there are.
        index = next((index for index in record.classes if index not in shown), record.classes[0])
        shown.add(index)
        image = read_image(record.image)
        image = reduce_picture(image, reduced_size(image.shape[:2], CLIMBED_SIDE))
        size = (image.shape[0], image.shape[1])
        saliency = held_regions([salient_region(run, record, size)], size) if held else None
        rows = climb_rows(map_, image, index, settings, None if saliency is None else saliency.to(run.device))
        yield draw_strip(image, record.id, run.class_names[index], rows)


def step_masks(run: Run, record: Record, size: tuple[int, int]) -> dict[str, UInt8[np.ndarray, "h w"]]:
    """The masks before the last one, by their captions, in their order."""
    from advcam.refine.seeds import seed_labels

    made = [run.record.done(f"{run.kind}/{step}") for step in ("crf", "masks")]
    chosen = [ChosenThreshold.of(one.result["threshold"]) for one in made if one and one.result["method"] == "crf"]
    found = {}
    if chosen and chosen[0] is not None:
        result = run.read_maps(run.kind, record)
        threshold = chosen[0].value
        found["seed"] = seed_labels(full_maps(result, size), torch.from_numpy(result.classes), threshold).numpy()
    path = run.folder.file(f"{run.kind}/crf", record.id)
    if run.ledger(f"{run.kind}/crf").key(record.id) is not None and path.exists():
        found["seed + CRF"] = resized_labels(read_prediction(run, record, path), size)
    return found


def edge_picture(run: Run, record: Record, size: tuple[int, int]) -> UInt8[np.ndarray, "h w"] | None:
    """IRN's edges, 255 where they are certain; None where there are none."""
    path = run.folder.file(f"{run.kind}/irn/edges", record.id)
    if not path.exists():
        return None
    # Reading edges takes what IRN is made of, which a report without them does not load.
    from advcam.refine.irn.inference import EdgeMap

    edge = (EdgeMap.load(path).edge.astype(np.float32) * 255).round().astype(np.uint8)
    return np.asarray(Image.fromarray(edge).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def box_section(run: Run, metrics: dict[str, Any] | None) -> BoxSection | None:
    """The section on boxes; None where this is no localization run or nothing was measured."""
    results = (metrics or {}).get("wsol") or []
    if not results:
        return None
    split, maps, shown = results[-1]["split"], run.config.box_acc.maps, min(WORST, run.config.report.gallery)
    own = [result for result in results if result["split"] == split]
    files = scored(run, split)
    distributions = {result["masks"]: distribution(files, result["masks"], maps) for result in own}
    method = NAMES.get(run.config.wsol.method, run.config.wsol.method.upper())
    worst = cases(files, own, maps, run.class_names, shown)
    return section(results, distributions, worst, f"classifier trained by {method}")


def artifacts(config: RunConfig) -> Iterator[Artifact]:
    yield Artifact(NAME, (), None, ("report.html",))


STEPS = Steps(report, artifacts)
