"""The stage that writes ``report.html`` from what the other stages left in the run folder."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from advcam.attribute.result import LocalizationMaps
from advcam.attribute.settings import ClimbSettings
from advcam.data.files import read_json, write_text
from advcam.data.images import read_image
from advcam.data.masks import read_mask, voc_palette
from advcam.data.record import Record
from advcam.models.fold import fold_batch_norm
from advcam.models.stored import CONFIG_NAME
from advcam.pipeline.classify import run_classifier
from advcam.pipeline.config import RunConfig
from advcam.pipeline.flags import Flag, read_flags
from advcam.pipeline.manifest import plain
from advcam.pipeline.progress import duration, progress
from advcam.pipeline.refiner import MASKS_OF, full_maps
from advcam.pipeline.report_steps import edge_picture, step_masks
from advcam.pipeline.run import Run
from advcam.pipeline.salient import held_regions, reduced_saliency, salient_region
from advcam.pipeline.scoring import read_prediction, scored_records
from advcam.pipeline.wsol_report import box_section
from advcam.report.facts import changed_settings, data_fact, instance_facts, stage_facts
from advcam.report.figures import Headline, groups, headline, name_of_masks, read_figures
from advcam.report.gains import chains
from advcam.report.gallery import LONG_SIDE, Card, Subject, class_colour, draw_card
from advcam.report.growth import CLIMBED_SIDE, Strip, climb_rows, draw_strip
from advcam.report.hints import Situation, next_steps
from advcam.report.page import Fact, FlaggedClass, Page, StageTime, render
from advcam.report.panels import class_chart, classifier_chart, curve_panels, edges
from advcam.report.pictures import reduce_labels, reduce_picture, reduced_size
from advcam.report.selection import choose_images
from advcam.report.wording import Notice, claim, claim_details, classifier_notice, counted, doubts, not_measured, place

STAGE = "report"


def report(run: Run) -> None:
    """Write ``report.html``: whatever the run folder holds so far, and nothing of what it does not."""
    # A report is always made anew, so no difference to an earlier one matters.
    run.manifest.stages.pop(STAGE, None)
    with run.stage(STAGE, asdict(run.config.report), ()):
        write_text(run.folder.report, render(page(run)))


def page(run: Run) -> Page:
    """All that the page shows."""
    metrics = read_json(run.folder.metrics) if run.folder.metrics.exists() else None
    figures = read_figures(metrics)
    found = headline(figures)
    flags = sorted(read_flags(run.folder.flagged), key=lambda flag: flag.probability)
    cards, strips = pictures(run, flags)
    classifier = stage(run, "classify").get("result")
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
        notices=notices(run, found, edges(metrics), classifier),
        facts=facts(run) + instance_facts(metrics),
        groups=groups(figures),
        chains=chains(figures),
        class_chart=class_chart(found) if found else None,
        boxes=boxes,
        curve_panels=curve_panels(metrics, figures),
        cards=cards,
        truth_outlined=any(card.has_truth for card in cards),
        hatched=any(card.hatched for card in cards),
        strips=strips,
        classifier=classifier_chart(classifier),
        flagged=[FlaggedClass(**asdict(flag)) for flag in flags],
        flagged_images=len({flag.image for flag in flags}),
        left_out=list(run.manifest.content.get("left_out", {}).items()),
        hints=hints,
        legend=[(name, class_colour(index, palette)) for index, name in enumerate(names)] if with_masks else (),
        stages=[
            StageTime(name, entry["status"], entry.get("seconds", 0.0), duration(entry.get("seconds", 0.0)))
            for name, entry in run.manifest.stages.items()
            if name != STAGE
        ],
        command=f"advcam run --config {shlex.quote(str(run.folder.config))}",
        changed=changed_settings(plain(run.config), plain(RunConfig())),
        config=yaml.safe_dump(plain(run.config), sort_keys=False, allow_unicode=True),
        versions=versions(run),
    )


def stage(run: Run, name: str) -> dict[str, Any]:
    """What the manifest says of a stage; empty where it was not begun."""
    return run.manifest.stages.get(name, {})


def title(run: Run) -> str:
    """The name of the data set: that of its folder."""
    path = Path(run.config.data or "").absolute()
    return path.parent.name if path.is_file() else path.name


def counts(run: Run) -> dict[str, int]:
    """Images of each split that take part."""
    return {split: len(run.limited(images)) for split, images in run.mapped_sets.items()}


def method_of(run: Run) -> str:
    """The method of the maps that are there, or the one that is asked for."""
    return stage(run, "attribute").get("settings", {}).get("method", run.config.attribute.method)


def network(run: Run) -> str:
    """The architecture of the classifier that is there, or of the one that is asked for."""
    description = run.folder.classifier / CONFIG_NAME
    return read_json(description)["architecture"] if description.exists() else run.config.backbone.architecture


def summary(run: Run) -> str:
    """The run in one line."""
    where = " and ".join(place(split, count) for split, count in counts(run).items())
    return f"{name_of_masks(method_of(run))} with {network(run)} on {where}, {counted(len(run.class_names), 'class')}."


def facts(run: Run) -> list[Fact]:
    """What was run, in lines."""
    kind = next(iter(run.mapped_sets.values())).format
    return [
        data_fact(str(run.config.data), kind, counts(run), len(run.class_names)),
        *stage_facts(run.manifest.stages, network(run)),
        Fact("Run folder", str(run.folder.root)),
        Fact("Begun", str(run.manifest.content["created"])),
    ]


def versions(run: Run) -> list[tuple[str, str]]:
    """What the run was made with."""
    content = run.manifest.content
    found = list(content.get("versions", {}).items()) + list(content.get("platform", {}).items())
    git = content.get("git")
    return found if git is None else [*found, ("commit", git["commit"] + ("" if git["clean"] else ", with changes"))]


def notices(run: Run, found: Headline | None, edges: Sequence[str], classifier: dict[str, Any] | None) -> list[Notice]:
    """What a reader must know first."""
    judgement = None if classifier is None else classifier_notice(classifier["level"], classifier["sentence"])
    return ([] if judgement is None else [judgement]) + doubts(found, edges, run.config.limit)


def situation(
    run: Run, found: Headline | None, figures: Sequence[Any], flags: Sequence[Flag], truth: int, at_edge: bool
) -> Situation:
    """What the hints depend on."""
    return Situation(
        out=shlex.quote(run.config.out),
        method=method_of(run),
        masks=sum(run.folder.mask(record.id).exists() for record in run.wanted),
        flagged=len({flag.image for flag in flags}),
        classifier_level=(stage(run, "classify").get("result") or {}).get("level"),
        epochs=run.config.classify.epochs,
        ground_truth=truth,
        limit=run.config.limit,
        figures=figures,
        headline=found,
        edges=at_edge,
    )


def pictures(run: Run, flags: Sequence[Flag]) -> tuple[list[Card], list[Strip]]:
    """The gallery and the strips."""
    there = {record.id: record for record in run.wanted if run.folder.maps(record.id).exists()}
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


def read_subject(run: Run, record: Record, split: str, flags: Sequence[Flag]) -> Subject:
    """Read what the card of one image shows, and bring it to the size of the page's pictures."""
    image = read_image(record.image)
    size = reduced_size(image.shape[:2], LONG_SIDE)
    maps = {}
    for kind in ("cam", "maps"):
        name = name_of_masks(method_of(run) if kind == "maps" else kind)
        result = LocalizationMaps.load(run.folder.maps(record.id, kind))
        maps[name] = full_maps(result, size).numpy()
    has_mask = run.folder.mask(record.id).exists()
    return Subject(
        name=record.id,
        split=split,
        image=reduce_picture(image, size),
        classes=tuple(result.classes.tolist()),
        probabilities=tuple(result.scores.tolist()),
        maps=maps,
        steps=step_masks(run, record, size),
        edges=edge_picture(run, record, size),
        mask=reduce_labels(read_prediction(run, record, MASKS_OF["maps"]), size) if has_mask else None,
        truth=None if record.mask is None else reduce_labels(read_mask(record, image.shape[:2]), size),
        saliency=reduced_saliency(run, record, size),
        warnings=tuple(f"{flag.class_name}: {flag.reason} (probability {flag.probability:.2f})" for flag in flags),
        flagged_classes=tuple(run.class_names.index(flag.class_name) for flag in flags),
    )


def can_climb(run: Run) -> bool:
    """Whether the images were climbed, and the classifier that did is there."""
    climbed = stage(run, "attribute").get("settings", {}).get("climb") is not None
    return climbed and stage(run, "classify").get("status") == "done"


def grow(run: Run, records: Sequence[Record]) -> Iterator[Strip]:
    """Climb some images once more, at scale 1, to show how their maps grow."""
    if not records:
        return
    # All steps are shown, also those of a pair that was stopped.
    settings = ClimbSettings(**stage(run, "attribute")["settings"]["climb"])
    mapper = fold_batch_norm(run_classifier(run).to(run.device).mapper())
    held = stage(run, "attribute")["settings"].get("saliency") is not None
    shown: set[int] = set()
    for record in records:
        # One class of each image, and as many different ones as there are.
        index = next((index for index in record.classes if index not in shown), record.classes[0])
        shown.add(index)
        image = read_image(record.image)
        image = reduce_picture(image, reduced_size(image.shape[:2], CLIMBED_SIDE))
        size = (image.shape[0], image.shape[1])
        saliency = held_regions([salient_region(run, record, size)], size) if held else None
        rows = climb_rows(mapper, image, index, settings, None if saliency is None else saliency.to(run.device))
        yield draw_strip(image, record.id, run.class_names[index], rows)
