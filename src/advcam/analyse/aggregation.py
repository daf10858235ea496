"""The sum of the maps over the steps against the last one alone (Table 11)."""

from __future__ import annotations

from typing import Any

from advcam.analyse.result import Analysis
from advcam.analyse.seeds import seed_columns, seed_curve
from advcam.analyse.subject import Subject

# PASCAL VOC 2012 train: mIoU, precision, recall, F1.
PAPER_ROWS = {"last": (54.0, 64.4, 78.2, 70.6), "sum": (55.6, 66.9, 77.6, 71.9)}


def table11(subject: Subject) -> Analysis:
    """Table 11: seeds from the last step's map alone and from the sum, each at its own best threshold.

    Raises:
        DataError: an image has no ground truth.
    """
    last = subject.climb.maps - 1
    rows: list[dict[str, Any]] = []
    for name in ("last", "sum"):
        curve = seed_curve(subject, f"table11 {name}", (last,), last=name == "last")
        rows.append({"aggregate": name, **seed_columns(curve.sweeps[0])})
    columns = ("miou", "precision", "recall", "f1")
    return Analysis(
        "table11",
        "Sum of the maps against the last one",
        "Seeds from the map of the last step alone and from the sum over all steps, each at its own best threshold on "
        "these images.",
        rows,
        {f"{name}, {row['aggregate']}": row[name] for row in rows for name in columns},
        paper={
            f"{name}, {key}": value for key, own in PAPER_ROWS.items() for name, value in zip(columns, own, strict=True)
        },
        facts=subject.described(),
    )
