"""What suppressing the other classes does where objects of several stand together (Fig. 5)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from advcam.analyse.climbs import all_steps, fused, maps_of
from advcam.analyse.growth import coverage
from advcam.analyse.pictures import show, show_maps
from advcam.analyse.result import Analysis
from advcam.analyse.subject import Subject
from advcam.data import image_size, read_mask
from advcam.errors import DataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("CAM", "without suppression", "with suppression")
PLACES = ("on the object", "on the background", "on other objects")


def fig5(subject: Subject, *, shown: int = 4) -> Analysis:
    """Fig. 5: maps of images with several classes, with and without suppression of the others.

    Args:
        subject: its images need masks; those of one class are passed over.
        shown: images in the plot: the ones whose map without suppression is highest on objects of other classes.

    Raises:
        DataError: no image has objects of several classes.
    """
    subject.need_masks("fig5")
    several = tuple(record for record in subject.records if len(record.classes) > 1)
    if not several:
        raise DataError("fig5 compares objects of several classes in one image, and no image has them: take more")
    rows: list[dict[str, Any]] = []
    variants = [replace(subject, records=several).with_climb(suppress_others=on) for on in (False, True)]
    last = subject.climb.maps - 1
    for variant, kind in zip(variants, KINDS[1:], strict=True):
        for record, scales in all_steps(variant, f"fig5 {kind}"):
            mask = read_mask(record)
            first_and_last = fused(scales, image_size(record.image), (0, last))
            for place, class_index in enumerate(record.classes):
                for name, found in zip((KINDS[0], kind), first_and_last[:, place], strict=True):
                    if name == kind or kind == KINDS[1]:
                        head = {"image": record.id, "class": subject.class_names[class_index], "map": name}
                        rows.append(head | dict(zip(PLACES, coverage(found, mask, class_index), strict=True)))
    numbers = {f"{place}, {kind}": mean_of(rows, place, kind) for kind in KINDS for place in PLACES}
    numbers["on other objects, with suppression against without"] = numbers[f"{PLACES[2]}, {KINDS[2]}"] / max(
        numbers[f"{PLACES[2]}, {KINDS[1]}"], 1e-12
    )
    leaking = [row for row in rows if row["map"] == KINDS[1] and not np.isnan(row[PLACES[2]])]
    chosen = sorted(leaking, key=lambda row: -row[PLACES[2]])[:shown]

    def draw(figure: Figure) -> None:
        panels = figure.subplots(max(1, len(chosen)), 4, squeeze=False)
        for line, row in zip(panels, chosen, strict=False):
            (record,) = (record for record in several if record.id == row["image"])
            class_index = subject.class_names.index(row["class"])
            place = record.classes.index(class_index)
            first, free = maps_of(variants[0], record, (0, last))[:, place]
            suppressed = maps_of(variants[1], record, (last,))[0, place]
            show(line[0], subject.picture(record), row["class"])
            show_maps(line[1:], subject, record, class_index, (first, free, suppressed), KINDS)

    return Analysis(
        "fig5",
        "Suppression of other classes",
        "Mean value of the map on the class's own object, on objects of other classes and on the background, in images "
        f"with several classes. Shown: the {len(chosen)} maps that are highest on other objects without suppression; "
        "white outline: the class's object.",
        rows,
        numbers,
        paper={"on other objects, with suppression against without": "below 1"},
        facts=subject.described() | {"images with several classes": len(several)},
        draw=draw,
        size=(9.0, 1.9 * max(1, len(chosen))),
    )


def mean_of(rows: list[dict[str, Any]], column: str, kind: str) -> float:
    """Mean of a column over the maps of one kind, those without a value left out."""
    values = [row[column] for row in rows if row["map"] == kind and not np.isnan(row[column])]
    return float(np.mean(values)) if values else float("nan")
