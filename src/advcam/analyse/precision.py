"""Precision, recall and F1 of seeds (Table 9)."""

from __future__ import annotations

from dataclasses import replace

from advcam.analyse.result import Analysis
from advcam.analyse.seeds import seed_columns, seed_curve
from advcam.analyse.subject import Subject

# PASCAL VOC 2012 train: precision, recall, F1; IRN's seed is the plain map.
PAPER_ROWS = {"CAM": (66.0, 66.4, 66.2), "AdvCAM": (66.9, 77.6, 71.9), "AdvCAM-Sal": (71.8, 78.2, 74.9)}


def table9(subject: Subject) -> Analysis:
    """Table 9: precision, recall and F1 of the seeds of CAM, AdvCAM and, with saliency maps, AdvCAM-Sal.

    Each at its own best threshold, of mIoU on these images.

    Raises:
        DataError: an image has no ground truth.
    """
    last = subject.climb.maps - 1
    curve = seed_curve(replace(subject, saliency=None), "table9", (0, last))
    found = {"CAM": curve.sweeps[0], "AdvCAM": curve.sweeps[1]}
    if subject.saliency is not None:
        found["AdvCAM-Sal"] = seed_curve(subject, "table9 saliency", (last,)).sweeps[0]
    columns = ("precision", "recall", "f1")
    rows = {name: seed_columns(sweep) for name, sweep in found.items()}
    return Analysis(
        "table9",
        "Precision, recall and F1 of the seeds",
        "Mean precision and recall over the classes and the background, and their harmonic mean, each kind of maps at "
        "its own best threshold on these images.",
        [{"maps": name, **own} for name, own in rows.items()],
        {f"{column}, {name}": own[column] for name, own in rows.items() for column in columns},
        paper={
            f"{column}, {name}": value
            for name, own in PAPER_ROWS.items()
            for column, value in zip(columns, own, strict=True)
        },
        facts=subject.described(),
    )
