"""Seeds side by side (Tables 9, 11 and 12), each kind of maps at its own best threshold on the images measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from advcam.analyse.result import Analysis, by_name
from advcam.analyse.seeds import seed_columns, seed_curve
from advcam.analyse.subject import Subject

COLUMNS = ("miou", "precision", "recall", "f1")
# PASCAL VOC 2012 train. IRN's seed in table 9 is the plain map; it has no mIoU there.
PAPER_ROWS: dict[str, dict[str, tuple[float, ...]]] = {
    "table9": {"CAM": (66.0, 66.4, 66.2), "AdvCAM": (66.9, 77.6, 71.9), "AdvCAM-Sal": (71.8, 78.2, 74.9)},
    "table11": {"last": (54.0, 64.4, 78.2, 70.6), "sum": (55.6, 66.9, 77.6, 71.9)},
    "table12": {"cam": (48.8, 55.6, 6.8), "gradcam_pp": (47.7, 50.7, 3.0)},
}
# Maps that any network has; SEAM and SC-CAM are trained, and their runs measure them.
MAPS = ("cam", "gradcam_pp", "layercam")


def table9(subject: Subject) -> Analysis:
    """Table 9: precision, recall and F1 of the seeds of CAM, AdvCAM and, with saliency maps, AdvCAM-Sal.

    Raises:
        DataError: an image has no ground truth.
    """
    last = subject.climb.maps - 1
    curve = seed_curve(replace(subject, saliency=None), "table9", (0, last))
    found = {"CAM": curve.sweeps[0], "AdvCAM": curve.sweeps[1]}
    if subject.saliency is not None:
        found["AdvCAM-Sal"] = seed_curve(subject, "table9 saliency", (last,)).sweeps[0]
    return seed_table(
        subject,
        "table9",
        "Precision, recall and F1 of the seeds",
        "Mean precision and recall over the classes and the background, and their harmonic mean, each kind of maps at "
        "its own best threshold on these images.",
        "maps",
        {name: seed_columns(sweep) for name, sweep in found.items()},
        COLUMNS[1:],
    )


def table11(subject: Subject) -> Analysis:
    """Table 11: seeds from the last step's map alone and from the sum over all steps.

    Raises:
        DataError: an image has no ground truth.
    """
    end = (subject.climb.maps - 1,)
    curves = {name: seed_curve(subject, f"table11 {name}", end, last=name == "last") for name in ("last", "sum")}
    return seed_table(
        subject,
        "table11",
        "Sum of the maps against the last one",
        "Seeds from the map of the last step alone and from the sum over all steps, each at its own best threshold on "
        "these images.",
        "aggregate",
        {name: seed_columns(curve.sweeps[0]) for name, curve in curves.items()},
        COLUMNS,
    )


def seed_table(
    subject: Subject,
    name: str,
    title: str,
    caption: str,
    head: str,
    rows: Mapping[str, Mapping[str, float]],
    columns: Sequence[str],
) -> Analysis:
    """A table with a row for each kind of seeds; some of its columns are its numbers, beside the paper's."""
    return Analysis(
        name,
        title,
        caption,
        [{head: kind, **own} for kind, own in rows.items()],
        by_name(columns, {kind: [own[column] for column in columns] for kind, own in rows.items()}),
        paper=by_name(columns, PAPER_ROWS[name]),
        facts=subject.described(),
    )


def table12(subject: Subject) -> Analysis:
    """Table 12: seeds from several maps of the unchanged image and from their climbs.

    Raises:
        DataError: an image has no ground truth.
    """
    rows: list[dict[str, Any]] = []
    numbers: dict[str, float] = {}
    for name in MAPS:
        own = subject.with_map(name)
        curve = seed_curve(own, f"table12 {name}", (0, own.climb.maps - 1))
        plain, climbed = (seed_columns(sweep) for sweep in curve.sweeps)
        rows += [{"map": name, "seeds": kind, **columns} for kind, columns in (("plain", plain), ("climbed", climbed))]
        numbers |= {f"{name}, plain": plain["miou"], f"{name}, climbed": climbed["miou"]}
        numbers[f"{name}, gain"] = climbed["miou"] - plain["miou"]
    return Analysis(
        "table12",
        "Climbing for other maps",
        "Seeds from the maps of the unchanged image and from the sum over the climb, each at its own best threshold on "
        "these images. The paper's methods have networks of their own; here all maps are of one network.",
        rows,
        numbers,
        paper={
            f"{name}, {kind}": value
            for name, own in PAPER_ROWS["table12"].items()
            for kind, value in zip(("plain", "climbed", "gain"), own, strict=True)
        },
        facts=subject.described(),
    )
